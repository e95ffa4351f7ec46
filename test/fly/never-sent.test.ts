import { expect, test } from "bun:test";
import { connect, createServer } from "node:net";
import { wasNeverSent } from "../../src/fly/never-sent.ts";
import { selfSignedCertificate } from "../../src/quic/certificate.ts";
import { rejection } from "../support/rejection.ts";

const coded = (code: string, message = ""): Error => Object.assign(new Error(message), { code });

test("errors that prove it, and those that do not", () => {
  for (const code of [
    "ECONNREFUSED",
    "ConnectionRefused",
    "ENOTFOUND",
    "EAI_AGAIN",
    "FailedToOpenSocket",
    "DEPTH_ZERO_SELF_SIGNED_CERT",
    "SELF_SIGNED_CERT_IN_CHAIN",
    "CERT_HAS_EXPIRED",
    "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
    "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
    "ERR_TLS_CERT_ALTNAME_INVALID",
  ])
    expect([code, wasNeverSent(coded(code))]).toEqual([code, true]);
  expect(wasNeverSent(coded("EHOSTUNREACH", "EHOSTUNREACH: Unable to connect."))).toBe(true);
  for (const code of [
    "EHOSTUNREACH",
    "ENETUNREACH",
    "ECONNRESET",
    "EPROTO",
    "ETIMEDOUT",
    "ERR_SSL_DECRYPTION_FAILED_OR_BAD_RECORD_MAC",
    "",
  ])
    expect([code, wasNeverSent(coded(code, "the TLS handshake failed"))]).toEqual([code, false]);
  expect(wasNeverSent("ECONNREFUSED")).toBe(false);
});

test("a request that arrived, over TLS that is spoilt afterwards, is not one that was never sent", async () => {
  const { certificatePem: cert, privateKeyPem: key } = selfSignedCertificate();
  let arrived = 0;
  const spoilt = Promise.withResolvers<undefined>();
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    tls: { cert, key },
    fetch: async () => {
      arrived += 1;
      await spoilt.promise;
      return new Response();
    },
  });
  const between = createServer((socket) => {
    const upstream = connect(server.port ?? 0, "127.0.0.1");
    for (const end of [socket, upstream]) end.on("error", () => undefined);
    upstream.on("data", (bytes) => socket.write(bytes));
    socket.on("data", (bytes) => upstream.write(bytes));
    const spoil = setInterval(() => {
      if (arrived === 0) return;
      clearInterval(spoil);
      // A record that nobody can decrypt.
      socket.write(Buffer.from(`\u0017\u0003\u0003\u0000\u0010${"a".repeat(16)}`, "latin1"));
    }, 5);
  });
  await new Promise<void>((resolve) => between.listen(0, "127.0.0.1", resolve));
  const address = between.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const error = await rejection(
    fetch(`https://127.0.0.1:${port}/`, { method: "POST", tls: { rejectUnauthorized: false } }),
  );
  expect([arrived, wasNeverSent(error)]).toEqual([1, false]);
  spoilt.resolve(undefined);
  between.close();
  await server.stop(true);
});
