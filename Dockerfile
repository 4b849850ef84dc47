# fail-start for who has Docker and no Rust, as an image that holds nothing else:
#   docker compose run --rm fail-start 1                                              on the nodes of docker-compose.yml
#   docker build -t fail-start .
#   docker run --rm -it --network host -v "$PWD/.env:/.env:ro" fail-start 1           on your own
FROM rust:1-alpine AS build
WORKDIR /build
COPY . .
RUN cargo build --locked --release --bin fail-start
# Where there is no library, only a static program runs.
RUN mkdir /alone && cp target/release/fail-start /alone && chroot /alone /fail-start --version

FROM scratch
COPY --from=build /alone/fail-start /fail-start
ENTRYPOINT ["/fail-start"]
