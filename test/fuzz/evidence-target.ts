import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mintEvidence, MintError } from "../../src/fly/evidence.ts";
import { parseJwt } from "../../src/fly/jwt.ts";
import { limits } from "../../src/protocol/limits.ts";
import type { FuzzTarget } from "../support/fuzz.ts";
import { base64url, claimsOf, headerOf, issuerKey } from "../support/oidc-issuer.ts";

const audience = "fv1.audience";
const machine = { appName: "dev-vaults", machineId: "148e21ea7e46e8" };
const header = headerOf(issuerKey("key-1"));

function answer(head: string, body: string): Uint8Array {
  return Buffer.from(`${head}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
}

function jwt(machineId: string): string {
  const claims = claimsOf("https://oidc.fly.io/acme", audience, { machineId }, 0);
  return `${base64url(header)}.${base64url(claims)}.c2ln`;
}

function chunked(body: string): Uint8Array {
  const half = Math.floor(body.length / 2);
  const parts = [body.slice(0, half), body.slice(half)];
  const chunks = parts.map((part) => `${part.length.toString(16)}\r\n${part}\r\n`).join("");
  return Buffer.from(`HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n${chunks}0\r\n\r\n`);
}

/** A socket that says whatever bytes come next, and hangs up. */
class RawServer {
  next: Uint8Array = new Uint8Array(0);
  readonly path: string;
  readonly #folder = mkdtempSync(join(tmpdir(), "fv-fuzz-"));

  constructor() {
    this.path = join(this.#folder, "api");
    const server = Bun.listen({
      unix: this.path,
      socket: {
        data: (socket) => {
          socket.write(this.next);
          socket.end();
        },
      },
    });
    server.unref();
    process.once("exit", () => rmSync(this.#folder, { recursive: true, force: true }));
  }
}

let server: RawServer | undefined;

/** Fly's answer over the machine's socket: evidence of this machine for this audience, or a MintError. */
export const evidence: FuzzTarget = {
  name: "evidence answer",
  runs: 20_000,
  corpus: () => [
    answer("HTTP/1.1 200 OK\r\ncontent-type: text/plain", jwt(machine.machineId)),
    answer("HTTP/1.1 200 OK", `"${jwt(machine.machineId)}"\n`),
    answer("HTTP/1.1 200 OK", jwt("other")),
    answer("HTTP/1.1 429 Too Many Requests\r\nretry-after: 1", "slow down"),
    answer("HTTP/1.1 302 Found\r\nlocation: http://localhost/", ""),
    answer("HTTP/1.1 500 Internal Server Error", "{}"),
    chunked(jwt(machine.machineId)),
    Buffer.from("HTTP/1.0 200 OK\r\n\r\n"),
  ],
  check: async (bytes) => {
    server ??= new RawServer();
    server.next = bytes;
    let minted: Uint8Array;
    try {
      const { path: apiSocket } = server;
      minted = await mintEvidence({ apiSocket, audience, machine, timeoutMs: 2000 });
    } catch (error) {
      if (error instanceof MintError) return false;
      throw error;
    }
    const claims = parseJwt(minted).payload as Record<string, unknown>;
    if (minted.length > limits.jwtBytesMax) throw new Error(`evidence of ${minted.length} bytes`);
    if (claims["aud"] !== audience || claims["machine_id"] !== machine.machineId)
      throw new Error("evidence of somebody else");
    return true;
  },
};
