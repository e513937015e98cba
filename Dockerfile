# The image holds the program, C libraries, CA roots, and nothing that could run a shell.
# docker build --tag sidegate .

FROM docker.io/library/rust:1-bookworm AS build
RUN apt-get update --quiet=2 \
    && apt-get install --yes --quiet=2 --no-install-recommends cmake \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY Cargo.toml Cargo.lock config.toml ./
COPY src src
# The demonstration serves it.
COPY examples/browser/sidegate.js examples/browser/sidegate.js
# Only the program: tests and the other examples are not in the image's context.
RUN cargo build --release --locked --bin sidegate

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /source/target/release/sidegate /sidegate
# A number, so that Kubernetes can see that it is not root.
USER 65532:65532
# The proxy; liveness, readiness and metrics.
EXPOSE 8080 9091
ENTRYPOINT ["/sidegate"]
CMD ["run", "--config", "/etc/sidegate/config.toml"]
