# The binaries are built on the host ("make image"): the image holds them, the
# certificate roots, and nothing else. Producer: --entrypoint /producer.
FROM scratch
ARG TARGETARCH
COPY dist/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY dist/${TARGETARCH}/worker dist/${TARGETARCH}/producer /
USER 65532:65532
ENTRYPOINT ["/worker"]
