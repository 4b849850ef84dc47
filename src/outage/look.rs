//! The first look at a node's server: all that can be asked at once.

use crate::config::{Method, Node};
use crate::options::Options;
use crate::outage::obstacles;
use crate::outage::state::State;
use crate::outage::together::Claims;
use crate::outage::ways_in::Questions;
use crate::server::listing::{Listing, Wanted};
use crate::server::{Admin, Error, Failure, sql};

/// How long to wait for a claim, in seconds: a session may end a little later than its program.
const CLAIM_WAIT: u64 = 3;

/// What was found.
pub struct Look {
    /// The account's rows, the database, the undo.
    pub state: State,
    /// What else was asked; the answers to it are the listing's.
    pub questions: Questions,
    /// What the admin must not touch, and by what else sessions can be ended.
    pub obstacles: obstacles::Answers,
    /// Whether no other fail-start can take the same away meanwhile.
    pub is_claimed: bool,
    /// The account's sessions, in a dry run.
    pub listing: Listing,
}

impl Look {
    /// Asks all that can be asked at once. Where the node is to be taken, it is claimed, so that of
    /// two that look at the same time one gets it; once for all nodes of this run that one lock
    /// takes. The list of sessions shows what this server can show.
    ///
    /// # Errors
    /// Why it cannot be asked.
    pub fn at(
        node: &Node,
        admin: &mut Admin,
        options: &Options,
        claims: &Claims,
    ) -> Result<Self, Failure> {
        let method = options.method(node);
        if options.dry_run {
            return Self::ask_all(node, admin, method, options, None);
        }
        let (now, server) = (claim(node, method, 0), admin.server_id.clone());
        let mut first = None;
        let is_claimed = claims.once(&server, &now, || {
            let mut look = Self::ask_all(node, admin, method, options, Some(&now));
            // Whoever claims it has not begun, or is about to be gone.
            let is_about = |look: &Self| {
                !look.is_claimed && obstacles::held(node, &look.state, method).is_none()
            };
            if look.as_ref().is_ok_and(is_about) {
                let later = claim(node, method, CLAIM_WAIT);
                look = Self::ask_all(node, admin, method, options, Some(&later));
            }
            // Where it cannot be asked, that is said of this node, and none goes.
            let is_claimed = look.as_ref().map_or(true, |look| look.is_claimed);
            first = Some(look);
            is_claimed
        });
        match first {
            Some(look) => look,
            None => Ok(Self {
                is_claimed,
                ..Self::ask_all(node, admin, method, options, None)?
            }),
        }
    }

    /// The same, with this claim.
    fn ask_all(
        node: &Node,
        admin: &mut Admin,
        method: Method,
        options: &Options,
        claim: Option<&String>,
    ) -> Result<Self, Failure> {
        let questions = Questions::new(method, admin);
        let database = match method {
            Method::Revoke => sql::databases_like(&node.database, admin.names),
            Method::Lock => sql::database(&node.database),
        };
        let mut statements = State::statements(admin, node, &database);
        let obstacles = obstacles::Questions::new(admin, options.keep_sessions);
        statements.extend(obstacles.statements());
        statements.extend(questions.statements(node));
        // First, so that what is read next stays as it is.
        let claiming: Vec<String> = claim.into_iter().chain(&statements).cloned().collect();
        let first = ask(node, admin, method, options, &claiming);
        if let Err(error) = &first
            && admin.learns_without_events(error)
        {
            return Self::ask_all(node, admin, method, options, claim);
        }
        let (listing, asks_for_claim) = match first {
            // A cluster may forbid such locks: then the undo alone keeps others out.
            Err(Error::Server { .. }) if claim.is_some() => {
                (ask(node, admin, method, options, &statements), false)
            }
            result => (result, claim.is_some()),
        };
        let mut listing = listing.map_err(|error| obstacles::unreadable(node, admin, &error))?;
        let answers = &mut listing.answers;
        let is_claimed = !asks_for_claim || answers.row()? == Some(Some(true));
        admin.has_claimed = asks_for_claim && is_claimed;
        Ok(Self {
            state: State::from_answers(admin, node, answers)
                .map_err(|error| obstacles::unreadable(node, admin, &error))?,
            questions,
            obstacles: obstacles.read(answers)?,
            is_claimed,
            listing,
        })
    }
}

/// Runs the statements, and lists the account's sessions in a dry run. A real outage needs to know
/// no more yet than where they are listed.
fn ask(
    node: &Node,
    admin: &mut Admin,
    method: Method,
    options: &Options,
    statements: &[String],
) -> Result<Listing, Error> {
    if options.dry_run {
        let wanted = match method {
            Method::Lock => Wanted::All,
            Method::Revoke => Wanted::Using(&node.database),
        };
        return admin.sessions(&node.account.user, wanted, statements);
    }
    Ok(Listing {
        answers: admin.find_list(statements)?,
        ..Listing::default()
    })
}

/// What keeps others from taking the same away.
fn claim(node: &Node, method: Method, wait: u64) -> String {
    let database = match method {
        Method::Lock => None,
        Method::Revoke => Some(node.database.as_str()),
    };
    sql::claim(&node.account.user, database, wait)
}
