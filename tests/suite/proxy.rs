//! The network between the program and a node: slow, silent or cut. A request is what the program
//! sends at a time, which without TLS is one packet, one round trip.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{Nodes, wait_until};

#[derive(Default)]
struct Rules {
    /// Where connections go, one after the other.
    servers: Vec<u16>,
    /// Nothing passes, nothing is closed: a cable that is pulled.
    silent: bool,
    /// The same for the first so many connections only.
    held_up: usize,
    /// What the request holds that is held up with its connection and all before it.
    held_up_at: Option<String>,
    /// How many connections there were.
    connections: usize,
    /// Every connection is closed, and new ones at once.
    cut: bool,
    /// After so many more requests the way is cut: the last still reaches the server, its answer
    /// does not come back.
    cut_after: Option<usize>,
    delay: Duration,
    /// What requests hold, and what is sent on in its place, of the same length.
    rewrites: Vec<(String, String)>,
    /// The same of the next request alone that holds this text too.
    rewrites_next: Option<(String, String, String)>,
    /// What of the server's answers is written in another way, as long as before.
    rewritten: Option<(Vec<u8>, Vec<u8>, u8)>,
    streams: Vec<TcpStream>,
}

struct Shared {
    rules: Mutex<Rules>,
    changed: Condvar,
    requests: AtomicUsize,
    /// How often something was rewritten in a request.
    rewritten: AtomicUsize,
    /// Connections that something may still pass on, one for each direction.
    open: AtomicUsize,
}

/// A TCP proxy in front of one server.
pub struct Proxy {
    pub port: u16,
    shared: Arc<Shared>,
}

impl Proxy {
    pub fn to(server: u16) -> Self {
        Self::between(&[server])
    }

    /// In front of node 1, which is reached by it from now on without TLS, so that it can rewrite what
    /// passes.
    pub fn before(nodes: &mut Nodes) -> Self {
        let proxy = Self::to(nodes.port(1));
        nodes.set("LOCAL_DB_SSL_MODE", "disabled");
        nodes.reach_by(1, proxy.port);
        proxy
    }

    /// In front of several servers, which get one connection after the other.
    pub fn between(servers: &[u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            rules: Mutex::new(Rules {
                servers: servers.to_vec(),
                ..Rules::default()
            }),
            changed: Condvar::new(),
            requests: AtomicUsize::new(0),
            rewritten: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
        });
        let proxy = Self {
            port,
            shared: Arc::clone(&shared),
        };
        thread::spawn(move || {
            for client in listener.incoming() {
                let server = {
                    let mut rules = shared.rules.lock().unwrap();
                    rules.servers.rotate_left(1);
                    *rules.servers.last().unwrap()
                };
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(("127.0.0.1", server)))
                else {
                    continue;
                };
                client.set_nodelay(true).unwrap();
                server.set_nodelay(true).unwrap();
                shared.requests.fetch_add(1, Ordering::SeqCst); // TCP's own round trip
                let number = {
                    let mut rules = shared.rules.lock().unwrap();
                    if rules.cut {
                        continue;
                    }
                    rules.connections += 1;
                    rules.streams.push(client.try_clone().unwrap());
                    rules.streams.push(server.try_clone().unwrap());
                    rules.connections
                };
                shared.open.fetch_add(2, Ordering::SeqCst);
                let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let up = Arc::clone(&shared);
                thread::spawn(move || up.forward(number, from, &to, true));
                let down = Arc::clone(&shared);
                thread::spawn(move || down.forward(number, server, &client, false));
            }
        });
        proxy
    }

    /// From now on nothing passes, or everything does again.
    pub fn set_silent(&self, silent: bool) {
        self.shared.rules.lock().unwrap().silent = silent;
        self.shared.changed.notify_all();
    }

    /// Holds up what is under way on the connections that there are; new ones are not concerned.
    pub fn hold_up(&self) {
        let mut rules = self.shared.rules.lock().unwrap();
        rules.held_up = rules.connections;
    }

    /// Holds up the next request with this text, and with it its connection and those before it.
    pub fn hold_up_at(&self, text: &str) {
        self.shared.rules.lock().unwrap().held_up_at = Some(text.to_owned());
    }

    /// Waits until that has come.
    #[track_caller]
    pub fn wait_until_held_up(&self) {
        wait_until("a request is held up", || {
            (self.shared.rules.lock().unwrap().held_up > 0).then_some(())
        });
    }

    /// Lets what was held up arrive.
    pub fn let_arrive(&self) {
        self.let_arrive_until(None);
    }

    /// The same, and holds up the next request with this text.
    pub fn let_arrive_until(&self, text: Option<String>) {
        let mut rules = self.shared.rules.lock().unwrap();
        (rules.held_up, rules.held_up_at) = (0, text);
        drop(rules);
        self.shared.changed.notify_all();
    }

    /// Cuts every connection, and new ones, or lets them pass again.
    pub fn set_cut(&self, cut: bool) {
        self.shared.set_cut(cut);
    }

    /// Cuts the connection of the last of so many more requests, and refuses new ones.
    pub fn cut_after(&self, requests: usize) {
        self.shared.rules.lock().unwrap().cut_after = Some(requests);
    }

    /// Holds every byte for so long, each way.
    pub fn set_delay(&self, delay: Duration) {
        self.shared.rules.lock().unwrap().delay = delay;
    }

    /// Sends new connections to another server from now on.
    pub fn lead_to(&self, server: u16) {
        self.shared.rules.lock().unwrap().servers = vec![server];
    }

    /// Sends requests on with another text in place of this one, as a server that is another would
    /// understand them.
    pub fn rewrite(&self, from: &str, to: &str) {
        assert_eq!(from.len(), to.len(), "a packet's length stands before it");
        let rewrite = (from.to_owned(), to.to_owned());
        self.shared.rules.lock().unwrap().rewrites.push(rewrite);
    }

    /// The same in the next request alone that holds `beside` too.
    pub fn rewrite_next(&self, beside: &str, from: &str, to: &str) {
        assert_eq!(from.len(), to.len());
        let rewrite = (beside.to_owned(), from.to_owned(), to.to_owned());
        self.shared.rules.lock().unwrap().rewrites_next = Some(rewrite);
    }

    /// Writes this part of each answer in another way, which must be as long, but where that byte
    /// follows.
    pub fn rewrite_answers(&self, part: &str, other: &str, but_before: u8) {
        assert_eq!(part.len(), other.len());
        let [part, other] = [part, other].map(|one| one.as_bytes().to_vec());
        let parts = (part, other, but_before);
        self.shared.rules.lock().unwrap().rewritten = Some(parts);
    }

    /// Waits until every connection is closed and all that was held up has arrived. Nobody sends any
    /// more: Wine keeps some connections of a program that was killed.
    #[track_caller]
    pub fn settle(&self) {
        let began = Instant::now();
        wait_until("all connections are closed", || {
            if began.elapsed() > Duration::from_secs(2) {
                // The client's of each connection: the server still gets all that came.
                for client in self.shared.rules.lock().unwrap().streams.iter().step_by(2) {
                    let _ = client.shutdown(Shutdown::Read);
                }
            }
            (self.shared.open.load(Ordering::SeqCst) == 0).then_some(())
        });
    }

    /// Asserts that something was rewritten: else it was no other server that was met.
    #[track_caller]
    pub fn assert_has_rewritten(&self) {
        assert_ne!(self.shared.rewritten.load(Ordering::SeqCst), 0);
    }

    /// How many round trips there were so far, TCP's own included.
    pub fn round_trips(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }
}

impl Shared {
    fn set_cut(&self, cut: bool) {
        let mut rules = self.rules.lock().unwrap();
        rules.cut = cut;
        if cut {
            for stream in rules.streams.drain(..) {
                let _ = stream.shutdown(Shutdown::Both);
            }
        } else {
            rules.cut_after = None;
        }
    }

    fn forward(
        self: &Arc<Self>,
        number: usize,
        mut from: TcpStream,
        to: &TcpStream,
        is_request: bool,
    ) {
        // What arrives is timed as it arrives, so that a slow way is not a narrow one.
        let (sender, arrivals) = mpsc::channel::<(Instant, Vec<u8>)>();
        let (mut writer, shared) = (to.try_clone().unwrap(), Arc::clone(self));
        let writing = thread::spawn(move || {
            for (due, bytes) in arrivals {
                while let Some(left) = due
                    .checked_duration_since(Instant::now())
                    .filter(|left| !left.is_zero())
                {
                    thread::park_timeout(left);
                }
                drop(
                    shared
                        .changed
                        .wait_while(shared.rules.lock().unwrap(), |rules| {
                            rules.silent || number <= rules.held_up
                        })
                        .unwrap(),
                );
                if writer.write_all(&bytes).is_err() {
                    break;
                }
            }
        });
        let mut buffer = [0; 1 << 14];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            let arrived = Instant::now();
            let mut last = false;
            let mut bytes = buffer[..length].to_vec();
            let delay = {
                let mut rules = self.rules.lock().unwrap();
                if is_request {
                    for (from, to) in &rules.rewrites {
                        let count = replace(&mut bytes, from.as_bytes(), to.as_bytes());
                        self.rewritten.fetch_add(count, Ordering::SeqCst);
                    }
                    let holds = |bytes: &[u8], text: &str| {
                        let text = text.as_bytes();
                        bytes.windows(text.len()).any(|part| part == text)
                    };
                    let next = rules.rewrites_next.take_if(|next| holds(&bytes, &next.0));
                    if let Some((_, from, to)) = next {
                        let count = replace(&mut bytes, from.as_bytes(), to.as_bytes());
                        self.rewritten.fetch_add(count, Ordering::SeqCst);
                    }
                    let at = rules.held_up_at.as_ref();
                    if at.is_some_and(|text| holds(&bytes, text)) {
                        rules.held_up = number;
                    }
                    self.requests.fetch_add(1, Ordering::SeqCst);
                    if let Some(left) = &mut rules.cut_after {
                        *left = left.saturating_sub(1);
                        last = *left == 0;
                    }
                    rules.cut |= last;
                } else if let Some((part, other, but_before)) = &rules.rewritten {
                    let places = 0..(length + 1).saturating_sub(part.len());
                    for at in places {
                        let next = bytes.get(at + part.len());
                        if bytes[at..].starts_with(part) && next != Some(but_before) {
                            bytes[at..at + part.len()].copy_from_slice(other);
                        }
                    }
                }
                rules.delay
            };
            if last {
                // The server gets it; the way back is closed before it can answer.
                let _ = from.shutdown(Shutdown::Both);
            }
            if sender.send((arrived + delay, bytes)).is_err() || last {
                break;
            }
        }
        drop(sender);
        let _ = writing.join();
        // The server reads and runs the last request before it sees the end.
        let _ = to.shutdown(Shutdown::Write);
        if is_request {
            let _ = (&*to).read(&mut buffer);
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
        self.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// How often it was replaced.
fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) -> usize {
    let mut count = 0;
    for at in 0..(bytes.len() + 1).saturating_sub(from.len()) {
        if bytes[at..].starts_with(from) {
            bytes[at..at + from.len()].copy_from_slice(to);
            count += 1;
        }
    }
    count
}
