import { afterEach, expect, test } from "bun:test";
import { parseImageName, pinImage } from "../../../src/roles/admin/image-digest.ts";
import { selfSignedCertificate } from "../../../src/quic/certificate.ts";
import { rolloutLimits } from "../../../src/roles/admin/rollout-limits.ts";
import { rejection } from "../../support/rejection.ts";

const digest = `sha256:${"ab".repeat(32)}`;
const token = "fm2_secret";
let server: ReturnType<typeof Bun.serve> | undefined;
afterEach(async () => server?.stop(true));

/** A registry that answers so; `asked` has what it was asked. */
function registry(answer: (request: Request) => Response) {
  const asked: string[] = [];
  server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: (request) => {
      const { pathname } = new URL(request.url);
      asked.push(`${request.method} ${pathname} ${request.headers.get("authorization")}`);
      return answer(request);
    },
  });
  const { port } = server;
  return { asked, options: { token, urlOf: () => `http://127.0.0.1:${port}` } };
}

test("an image with a digest is taken as it is, and nobody is asked", async () => {
  const { asked, options } = registry(() => new Response(null, { status: 500 }));
  for (const image of [`registry.fly.io/a/b@${digest}`, `registry.fly.io/a/b:v1@${digest}`])
    expect(await pinImage(image, options)).toBe(image);
  expect(asked).toEqual([]);
});

test("a tag is looked up once; Fly's registry gets Fly's token, others do not", async () => {
  const headers = { "docker-content-digest": digest };
  const { asked, options } = registry(() => new Response(null, { headers }));
  expect(await pinImage("registry.fly.io/a/b:v1", options)).toBe(`registry.fly.io/a/b@${digest}`);
  expect(await pinImage("ghcr.io/x/y", options)).toBe(`ghcr.io/x/y@${digest}`);
  expect(await pinImage("debian:stable", options)).toBe(`docker.io/library/debian@${digest}`);
  expect(asked).toEqual([
    `HEAD /v2/a/b/manifests/v1 Basic ${btoa(`x:${token}`)}`,
    "HEAD /v2/x/y/manifests/latest null",
    "HEAD /v2/library/debian/manifests/stable null",
  ]);
});

test("a token as fly prints it goes to Fly's registry without the word before it", async () => {
  const headers = { "docker-content-digest": digest };
  const { asked, options } = registry(() => new Response(null, { headers }));
  await pinImage("registry.fly.io/a/b:v1", { ...options, token: `FlyV1 ${token},fm2_other` });
  expect(asked).toEqual([`HEAD /v2/a/b/manifests/v1 Basic ${btoa(`x:${token},fm2_other`)}`]);
});

test("a registry that does not tell is a failure that says what to pass, and no token", async () => {
  for (const answer of [
    () => new Response(null, { status: 404 }),
    () => new Response(null, { headers: { "docker-content-digest": "sha256:12" } }),
    () => Response.redirect("http://127.0.0.1:1/", 302),
    // Tokens are fetched over https alone.
    () =>
      new Response(null, {
        status: 401,
        headers: { "www-authenticate": 'Bearer realm="http://127.0.0.1:1/token"' },
      }),
  ]) {
    const { options } = registry(answer);
    const error = await rejection(pinImage("ghcr.io/x/y:v1", options));
    expect(error).toMatchObject({
      code: "FV-ADM-021",
      fix: "pass it: --image ghcr.io/x/y@sha256:…",
    });
    expect(JSON.stringify(error)).not.toContain(token);
    await server?.stop(true);
  }
  const { options } = registry(() => new Response(null));
  await server?.stop(true);
  expect(await rejection(pinImage("ghcr.io/x/y:v1", options))).toMatchObject({
    code: "FV-ADM-021",
  });
});

test("names that are none: refused, and nobody asked", async () => {
  const { asked, options } = registry(() => new Response(null));
  for (const text of ["", "a b", "UPPER/case", "a//b", "a/b@sha256:12", `a@md5:${"0".repeat(32)}`])
    expect(await rejection(pinImage(text, options))).toMatchObject({ code: "FV-CLI-001" });
  expect(asked).toEqual([]);
  expect(parseImageName("localhost:5000/a/b:c")).toEqual({
    registry: "localhost:5000",
    repository: "a/b",
    tag: "c",
  });
});

test("a registry that never answers is waited for so long and no longer", async () => {
  server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: async () => new Promise<Response>(() => undefined),
  });
  const { port } = server;
  const startedMs = performance.now();
  const options = { token, urlOf: () => `http://127.0.0.1:${port}`, timeoutMs: 200 };
  const error = await rejection(pinImage("ghcr.io/x/y:v1", options));
  expect(error).toMatchObject({ code: "FV-ADM-021" });
  expect(performance.now() - startedMs).toBeLessThan(5_000);
  expect(rolloutLimits.registryMs).toBe(10_000);
});

test("the token of a registry is read up to a limit", async () => {
  const { certificatePem: cert, privateKeyPem: key } = selfSignedCertificate();
  const tokens = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    tls: { cert, key },
    fetch: (request) => {
      const long = new URL(request.url).pathname === "/long" ? rolloutLimits.registryBytesMax : 0;
      return Response.json({ token: "anonymous", filler: "x".repeat(long) });
    },
  });
  const headers = { "docker-content-digest": digest };
  let path = "/short";
  const { options } = registry((request) => {
    if (request.headers.get("authorization") === "Bearer anonymous")
      return new Response(null, { headers });
    const realm = `Bearer realm="https://127.0.0.1:${tokens.port}${path}",service="s"`;
    return new Response(null, { status: 401, headers: { "www-authenticate": realm } });
  });
  // Nobody vouches for the certificate of a test.
  process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = "0";
  try {
    expect(await pinImage("ghcr.io/x/y:v1", options)).toBe(`ghcr.io/x/y@${digest}`);
    path = "/long";
    const error = await rejection(pinImage("ghcr.io/x/y:v1", options));
    expect(error).toMatchObject({ code: "FV-ADM-021" });
  } finally {
    delete process.env["NODE_TLS_REJECT_UNAUTHORIZED"];
    await tokens.stop(true);
  }
});
