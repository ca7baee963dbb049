# Builds the image of Hallmark: a static binary and a CA bundle, nothing else.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN cp "$(hack/image --compile)" /hallmark

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /hallmark /hallmark
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
USER 65532:65532
ENTRYPOINT ["/hallmark"]
CMD ["controller"]
