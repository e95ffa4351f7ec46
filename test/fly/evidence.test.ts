import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mintEvidence, MintError } from "../../src/fly/evidence.ts";
import { claimsOf, issuerKey, type MachineClaims, signJwt } from "../support/oidc-issuer.ts";
import { rejection } from "../support/rejection.ts";

const key = issuerKey("key-1");
const machine = { appName: "dev-vaults", machineId: "148e21ea7e46e8" };
const audience = "fv1.audience";

let directory: string;
let apiSocket: string;
let server: Bun.Server<undefined>;
let answer: (aud: string, request: Request) => Response | Promise<Response>;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "fv-mint-"));
  apiSocket = join(directory, "api");
  server = Bun.serve({
    unix: apiSocket,
    fetch: async (request) =>
      answer(String(((await request.json()) as { aud: unknown }).aud), request),
  });
});
afterAll(async () => {
  await server.stop(true);
  await rm(directory, { recursive: true });
});

function jwt(aud: string, claims: MachineClaims = {}): string {
  return signJwt(key, claimsOf("https://oidc.fly.io/acme", aud, claims));
}

async function refusal(timeoutMs?: number): Promise<string> {
  const error = await rejection(
    mintEvidence({
      apiSocket,
      audience,
      machine,
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
    }),
  );
  expect(error).toBeInstanceOf(MintError);
  return error.message;
}

describe("mintEvidence", () => {
  test("asks as Fly documents it", async () => {
    let seen = "";
    answer = (aud, request) => {
      seen = `${request.method} ${request.url} ${request.headers.get("content-type")}`;
      return new Response(jwt(aud));
    };
    await mintEvidence({ apiSocket, audience, machine });
    expect(seen).toBe("POST http://localhost/v1/tokens/oidc application/json");
  });

  for (const [name, wrap] of Object.entries({
    bare: (token: string) => token,
    "with a newline": (token: string) => `${token}\n`,
    quoted: (token: string) => `"${token}"`,
    "quoted with a newline": (token: string) => `"${token}"\n`,
  })) {
    test(`takes the token ${name}`, async () => {
      let token = "";
      answer = (aud) => {
        token = jwt(aud);
        return new Response(wrap(token));
      };
      const evidence = await mintEvidence({ apiSocket, audience, machine });
      expect(new TextDecoder().decode(evidence)).toBe(token);
    });
  }

  test("refuses evidence for another audience, machine or app: the API mixed something up", async () => {
    answer = () => new Response(jwt("fv1.other"));
    expect(await refusal()).toContain("another audience");
    answer = (aud) => new Response(jwt(aud, { machineId: "3d8d377ce9e398" }));
    expect(await refusal()).toContain("machine 3d8d377ce9e398");
    answer = (aud) => new Response(jwt(aud, { app: "other" }));
    expect(await refusal()).toContain("of other");
  });

  for (const body of ["", "{}", "e30.e30", "<html>", "null"]) {
    test(`refuses ${body === "" ? "an empty answer" : body}`, async () => {
      answer = () => new Response(body);
      expect(await refusal()).toContain("not evidence");
    });
  }

  test("refuses other statuses, and does not follow", async () => {
    answer = (aud) => new Response(jwt(aud), { status: 400 });
    expect(await refusal()).toContain("400");
    answer = () => Response.redirect("http://127.0.0.1:1/", 307);
    expect(await refusal()).toContain("307");
  });

  test("refuses more than 8 KiB, and a token above 4 KiB", async () => {
    answer = () => new Response("x".repeat(8193));
    expect(await refusal()).toContain("8192");
    answer = () => new Response("x".repeat(4097));
    expect(await refusal()).toContain("4097");
  });

  test("does not wait longer than it was told", async () => {
    answer = async () => new Promise<Response>(() => undefined);
    expect(await refusal(100)).toContain("does not answer");
  });

  test("says that there is no socket", async () => {
    const gone = mintEvidence({ apiSocket: join(directory, "none"), audience, machine });
    expect((await rejection(gone)).message).toContain("does not answer");
  });
});
