import type { Context } from "../../cli/context.ts";
import { Failure } from "../../cli/failure.ts";
import { version } from "../../cli/program.ts";
import { type ApiClock, systemClock } from "../../fly/api-clock.ts";
import {
  apiBaseRule,
  appNameRule,
  defaultApiBase,
  isApiBase,
  isAppName,
} from "../../fly/api-target.ts";
import { MachinesApi } from "../../fly/machines-api.ts";
import { readFileHead } from "../../system/file-head.ts";
import { withApiFailures } from "./api-failure.ts";

/** Flags of every command that talks to Fly. */
export const connectionFlags = {
  "api-token": {
    value: "TOKEN",
    env: "FLY_API_TOKEN",
    summary: "Fly API token; others can see it with ps, so rather FLY_API_TOKEN",
  },
  "api-token-file": { value: "FILE", env: "FLY_API_TOKEN_FILE", summary: "file holding the token" },
  app: { value: "APP", short: "a", env: "FLY_APP", summary: "the app that holds the tenants" },
  "api-base": {
    value: "URL",
    env: "FLY_API_BASE",
    summary: "Machines API (default: https://api.machines.dev)",
  },
} as const;

export interface ConnectionOptions {
  readonly "api-token": string | undefined;
  readonly "api-token-file": string | undefined;
  readonly app: string | undefined;
  readonly "api-base": string | undefined;
}

export interface Connection {
  readonly api: MachinesApi;
  readonly base: string;
  readonly token: string;
}

/** The client for one app. Ctrl-C ends its calls, but not those of `api.uninterrupted()`. */
export async function openConnection(
  flags: ConnectionOptions,
  context: Context,
  fallbackApp?: string,
): Promise<Connection> {
  const app = flags.app ?? fallbackApp;
  if (app === undefined) {
    throw new Failure("FV-CLI-001", "no app is named", {
      fix: "pass --app APP, or set FLY_APP",
    });
  }
  checkAppName(app);
  const base = checkBase(flags["api-base"] ?? defaultApiBase);
  const token = await readApiToken(flags, context);
  const controller = new AbortController();
  // A second Ctrl-C finds nobody listening and ends the program as it always does.
  const unsubscribe = context.onStop((signal) => {
    unsubscribe();
    controller.abort(new Interrupted(signal));
  });
  const api = new MachinesApi({
    base,
    token,
    app,
    userAgent: `fly-vault-admin/${version}`,
    ...(context.sleep === undefined ? {} : { clock: clockOf(context, context.sleep) }),
    signal: controller.signal,
  });
  return { api, base, token };
}

/** For tests of waiting, which do not wait. */
function clockOf({ monotonicMs }: Context, sleep: ApiClock["sleep"]): ApiClock {
  return { ...systemClock, monotonicMs, sleep };
}

/** The user asked to stop while a call was under way. */
export class Interrupted extends Error {
  override readonly name = "Interrupted";
  readonly signal: "SIGINT" | "SIGTERM" | "SIGHUP";

  constructor(signal: "SIGINT" | "SIGTERM" | "SIGHUP") {
    super(`Interrupted by ${signal}`);
    this.signal = signal;
  }

  get exitCode(): number {
    return { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 }[this.signal];
  }
}

/** Runs a command's work; what the API refused becomes words, and an interruption its exit code. */
export async function runOnApi(context: Context, work: () => Promise<number>): Promise<number> {
  try {
    return await withApiFailures(work);
  } catch (error) {
    if (!(error instanceof Interrupted)) throw error;
    await context.stderr.write("interrupted; run the same command again to go on\n");
    return error.exitCode;
  }
}

async function readApiToken(flags: ConnectionOptions, context: Context): Promise<string> {
  const { "api-token": word, "api-token-file": file } = flags;
  const isSaid = word !== undefined && word !== context.env[connectionFlags["api-token"].env];
  // A file is named for this run, where a variable may be set for all.
  const isRead = file !== undefined && !isSaid;
  const token = isRead ? await readSecretFile(file, context) : (word ?? "");
  if (isSaid) {
    await context.stderr.write("warning: others can read --api-token with ps; set FLY_API_TOKEN\n");
  }
  // A line end in the middle, or what came along from a web page: no header can have it.
  if (/[^\x20-\x7e]/.test(token.trim()))
    throw new Failure("FV-API-002", "the Fly API token is not one line of plain text", {
      because: "it has a line end, or a character that no token has",
      fix: "set it anew, as fly tokens create printed it",
    });
  if (token.trim() !== "") return token.trim();
  throw new Failure("FV-API-002", "no Fly API token", {
    fix: "set FLY_API_TOKEN, for example to the output of: fly tokens create org",
  });
}

/** One line, from a file or with `-` from stdin. The final line break is not part of a secret. */
export async function readSecretFile(path: string, context: Context): Promise<string> {
  const text = path === "-" ? await readSecretStdin(context) : readFileOrFail(path);
  // A part of a secret is none.
  if (Buffer.byteLength(text) > secretBytesMax) {
    throw new Failure("FV-CLI-001", `"${path}" must hold one line, the secret`, {
      because: `it has more than ${secretBytesMax} bytes`,
    });
  }
  const secret = text.replace(/\r?\n$/u, "");
  if (secret === "" || /[\r\n]/u.test(secret)) {
    throw new Failure("FV-CLI-001", `"${path}" must hold one line, the secret`, {
      because: secret === "" ? "it is empty" : "it has several lines",
    });
  }
  return secret;
}

export const secretBytesMax = 8_192;

/** Somewhat more than allowed, where there is more. */
export async function readSecretStdin(context: Context): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of context.stdin.read()) {
    length += chunk.length;
    chunks.push(chunk);
    if (length > secretBytesMax) break;
  }
  return Buffer.concat(chunks).toString("utf8");
}

function readFileOrFail(path: string): string {
  try {
    return new TextDecoder().decode(readFileHead(path, secretBytesMax));
  } catch (error) {
    throw new Failure("FV-CLI-001", `"${path}" cannot be read`, {
      because: error instanceof Error ? error.message : String(error),
    });
  }
}

function checkAppName(app: string): void {
  if (isAppName(app)) return;
  throw new Failure("FV-CLI-001", `"${app}" is no app name`, { because: appNameRule });
}

function checkBase(text: string): string {
  if (isApiBase(text)) return text;
  throw new Failure("FV-CLI-001", `"${text}" cannot be used as --api-base`, {
    because: apiBaseRule,
  });
}
