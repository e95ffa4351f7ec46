import * as v from "valibot";
import { limits } from "../protocol/limits.ts";
import type { MachineName } from "../protocol/transcript.ts";
import { AttestationError } from "./attestation-error.ts";
import { readBounded } from "./bounded-body.ts";
import { parseJwt } from "./jwt.ts";
import { flyLimits } from "./limits.ts";

/** The machine's API did not give evidence we could send on. */
export class MintError extends Error {
  override readonly name = "MintError";
  /** Fly wants fewer calls (429): the same call may well succeed a second later. */
  readonly throttled: boolean;

  constructor(message: string, throttled = false) {
    super(message);
    this.throttled = throttled;
  }
}

export interface MintOptions {
  /** `/.fly/api` in a Fly Machine. */
  readonly apiSocket: string;
  readonly audience: string;
  /** Whose evidence it must be: catches an API that mixes machines up. */
  readonly machine: MachineName;
  readonly timeoutMs?: number;
}

/** Asks Fly, through the machine's API socket, to sign this audience. Rejects with `MintError`. */
export async function mintEvidence(options: MintOptions): Promise<Uint8Array> {
  const answer = await post(options);
  const jwt = new TextEncoder().encode(unquoted(answer.trim()));
  if (jwt.length > limits.jwtBytesMax) throw new MintError(`Evidence of ${jwt.length} bytes`);
  checkLocally(jwt, options);
  return jwt;
}

async function post(options: MintOptions): Promise<string> {
  const { apiSocket, audience, timeoutMs = flyLimits.mintTimeoutMs } = options;
  let bytes: Uint8Array | undefined;
  let status: number;
  try {
    const response = await fetch("http://localhost/v1/tokens/oidc", {
      unix: apiSocket,
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ aud: audience }),
      redirect: "manual",
      signal: AbortSignal.timeout(timeoutMs),
    });
    status = response.status;
    bytes = await readBounded(response, flyLimits.mintBytesMax);
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    throw new MintError(`${apiSocket} does not answer: ${detail}`);
  }
  if (status !== 200) throw new MintError(`${apiSocket} answered ${status}`, status === 429);
  if (bytes === undefined) throw new MintError(`More than ${flyLimits.mintBytesMax} bytes`);
  return new TextDecoder().decode(bytes);
}

/** The body is the bare token; a quoted one has been seen. */
function unquoted(text: string): string {
  return text.length > 1 && text.startsWith('"') && text.endsWith('"') ? text.slice(1, -1) : text;
}

function checkLocally(jwt: Uint8Array, options: MintOptions): void {
  const claims = decode(jwt);
  const { audience, machine } = options;
  if (claims.aud !== audience) throw new MintError("The evidence has another audience");
  if (claims.machine_id !== machine.machineId || claims.app_name !== machine.appName)
    throw new MintError(`The evidence is of machine ${claims.machine_id} of ${claims.app_name}`);
}

function decode(jwt: Uint8Array): v.InferOutput<typeof localClaims> {
  try {
    return v.parse(localClaims, parseJwt(jwt).payload);
  } catch (error) {
    if (!(error instanceof AttestationError || error instanceof v.ValiError)) throw error;
    throw new MintError(`The answer is not evidence: ${error.message}`);
  }
}

const localClaims = v.object({ aud: v.string(), machine_id: v.string(), app_name: v.string() });
