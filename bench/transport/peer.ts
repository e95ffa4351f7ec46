/** The far end of a benchmark, in a process of its own: `peer.ts ours|package <variant as JSON>`. */
import { selfSignedCertificate } from "../../src/quic/certificate.ts";
import { Endpoint } from "../../src/quic/endpoint.ts";
import type { Variant } from "./ours.ts";
import { servePackage } from "./package-classes.ts";
import { serve } from "./subject.ts";

const [, , kind, variant = "{}"] = process.argv;
const identity = selfSignedCertificate();

if (kind === "package") {
  console.log(await servePackage(identity.privateKeyPem, identity.certificatePem));
} else {
  const options = JSON.parse(variant) as Variant;
  const bind = { host: "127.0.0.1", port: 0 };
  const endpoint = await Endpoint.open({ bind, server: identity, ...options });
  console.log(endpoint.address.port);
  for (let next = await endpoint.accept(); next !== null; next = await endpoint.accept()) {
    const connection = next;
    void (async () => {
      for (;;) {
        const stream = await connection.acceptStream();
        if (stream === null) return;
        void serve(stream).catch(() => undefined);
      }
    })();
  }
}
