import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { generateKeyPairSync } from "node:crypto";
import { IssuerError } from "../../src/fly/issuer.ts";
import { fetchJwks, JwksError, parseJwks } from "../../src/fly/jwks-fetch.ts";
import { selfSignedCertificate } from "../../src/quic/certificate.ts";
import { childEnv } from "../../src/system/child-env.ts";
import { issuerKey, OidcIssuer } from "../support/oidc-issuer.ts";
import { rejection } from "../support/rejection.ts";

const key = issuerKey("key-1");
const second = issuerKey("key-2");
const small = issuerKey("small", 1024);
const smallExponent = issuerKey("e3", 2048, 3);

describe("fetchJwks", () => {
  let issuer: OidcIssuer;
  beforeEach(() => {
    issuer = new OidcIssuer([key]);
  });
  afterEach(async () => {
    await issuer.close();
  });

  async function refusal(timeoutMs?: number): Promise<string> {
    const error = await rejection(fetchJwks(issuer.url(), timeoutMs));
    expect(error).toBeInstanceOf(JwksError);
    return (error as JwksError).code;
  }

  test("gives the usable keys", async () => {
    issuer.keys = [key, second];
    const keys = await fetchJwks(issuer.url());
    expect(keys.map((each) => each.kid)).toEqual(["key-1", "key-2"]);
    expect(Object.keys(keys[0] ?? {}).toSorted()).toEqual(["alg", "e", "kid", "kty", "n", "use"]);
  });

  test("asks for the key set below the configured issuer and for nothing else", async () => {
    const paths: string[] = [];
    issuer.answer = (request) => {
      paths.push(new URL(request.url).pathname);
      return Response.json({ keys: [key.publicJwk] });
    };
    await fetchJwks(issuer.url());
    expect(paths).toEqual(["/acme/.well-known/jwks"]);
  });

  for (const status of [404, 500, 204, 302]) {
    test(`refuses an answer of ${status}`, async () => {
      issuer.answer = () => new Response(null, { status });
      expect(await refusal()).toBe("unreachable");
    });
  }

  test("does not follow a redirect, not even to itself", async () => {
    const target = new OidcIssuer([key]);
    issuer.answer = () => Response.redirect(`${target.url()}/.well-known/jwks`, 307);
    expect(await refusal()).toBe("unreachable");
    expect(target.requests).toBe(0);
    await target.close();
  });

  test("stops reading at 64 KiB", async () => {
    issuer.answer = () => new Response(" ".repeat(10 * 1024 * 1024));
    expect(await refusal()).toBe("malformed");
    issuer.answer = () => new Response(`{"keys":[]}${" ".repeat(64 * 1024)}`);
    expect(await refusal()).toBe("malformed");
  });

  test("gives up on a body that trickles", async () => {
    issuer.answer = () => {
      const body = new ReadableStream({
        async pull(controller) {
          await Bun.sleep(30);
          controller.enqueue(new TextEncoder().encode(" "));
        },
      });
      return new Response(body);
    };
    expect(await refusal(200)).toBe("unreachable");
  });

  test("refuses the page of a captive portal", async () => {
    issuer.answer = () =>
      new Response("<html>Please log in</html>", { headers: { "content-type": "text/html" } });
    expect(await refusal()).toBe("malformed");
  });

  test("says that nobody listens", async () => {
    const url = issuer.url();
    await issuer.close();
    expect(await rejection(fetchJwks(url))).toMatchObject({ code: "unreachable" });
  });

  test("refuses an issuer over plain http elsewhere before any connection", async () => {
    expect(await rejection(fetchJwks("http://issuer.example/acme"))).toBeInstanceOf(IssuerError);
  });

  test("refuses TLS that nobody vouches for, also with NODE_TLS_REJECT_UNAUTHORIZED=0", async () => {
    const identity = selfSignedCertificate();
    const server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      tls: { cert: identity.certificatePem, key: identity.privateKeyPem },
      fetch: () => Response.json({ keys: [key.publicJwk] }),
    });
    const script = `
      const { fetchJwks } = await import(${JSON.stringify(`${import.meta.dir}/../../src/fly/jwks-fetch.ts`)});
      const url = "https://127.0.0.1:${server.port}/acme";
      console.log(await fetchJwks(url).then(() => "keys", (error) => error.code));`;
    const child = Bun.spawn([process.execPath, "-e", script], {
      env: childEnv(process.env, { NODE_TLS_REJECT_UNAUTHORIZED: "0" }),
      stdout: "pipe",
      stderr: "ignore",
    });
    expect((await new Response(child.stdout).text()).trim()).toBe("unreachable");
    await server.stop(true);
  });
});

describe("parseJwks", () => {
  const good = key.publicJwk;
  const elliptic = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const unusable: Record<string, unknown[]> = {
    "no keys": [],
    "RSA of 1024 bits": [small.publicJwk],
    "exponent 3": [smallExponent.publicJwk],
    "exponent 1": [{ ...good, e: "AQ" }],
    "an octet key": [{ kty: "oct", kid: "key-1", alg: "RS256" }],
    "an elliptic key": [{ ...elliptic.publicKey.export({ format: "jwk" }), kid: "key-1" }],
    "a key for encryption": [{ ...good, use: "enc" }],
    "a key for RS512": [{ ...good, alg: "RS512" }],
    "a key without an id": [{ ...good, kid: undefined }],
    "a key with a path for an id": [{ ...good, kid: "../key" }],
    "a modulus of nothing": [{ ...good, n: "A" }],
    "a modulus of zeros": [{ ...good, n: "A".repeat(342) }],
    "two keys of one id": [good, { ...second.publicJwk, kid: "key-1" }],
    "a private key": [good, { ...key.privateKey.export({ format: "jwk" }), kid: "key-3" }],
    "seventeen keys": Array.from({ length: 17 }, (_, index) => ({ ...good, kid: `key-${index}` })),
    "a thousand keys": Array.from({ length: 1000 }, (_, index) => ({ ...good, kid: `k${index}` })),
    "a key that is text": ["key"],
  };
  for (const [name, keys] of Object.entries(unusable)) {
    test(`refuses ${name}`, () => {
      expect(() => parseJwks(encode({ keys }))).toThrow(JwksError);
    });
  }

  for (const text of ["", "{", "null", "[]", "{}", '{"keys":{}}', '{"keys":[],"keys":[]}']) {
    test(`refuses ${text === "" ? "nothing" : text}`, () => {
      expect(() => parseJwks(new TextEncoder().encode(text))).toThrow(JwksError);
    });
  }

  test("leaves keys of other kinds aside", () => {
    const others = [small.publicJwk, { ...good, kid: "enc", use: "enc" }, { kty: "oct", kid: "o" }];
    expect(parseJwks(encode({ keys: [...others, good] })).map((each) => each.kid)).toEqual([
      "key-1",
    ]);
  });

  test("takes sixteen", () => {
    const keys = Array.from({ length: 16 }, (_, index) => ({ ...good, kid: `key-${index}` }));
    expect(parseJwks(encode({ keys }))).toHaveLength(16);
  });
});

function encode(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}
