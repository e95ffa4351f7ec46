import { closeSync, fstatSync, openSync, readFileSync, statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import type { Context } from "../../../cli/context.ts";
import { keptHeap } from "../../../system/child-env.ts";
import { tryLock } from "../../../system/file-lock.ts";
import { hasCode } from "../../../system/filesystem.ts";
import { programOnDisk } from "../../../system/self.ts";
import { connectUnix, peerOf, SocketError } from "../../../system/tcp-stream.ts";
import { late, within } from "../../../system/within.ts";
import { clientLimits } from "../limits.ts";
import type { LinkPlan } from "./link-message.ts";
import { socketOf } from "./link-place.ts";
import { SharedFrames } from "./shared-frame.ts";

/** There is no background link to be had; the command dials by itself. */
export class NoSharedLink extends Error {
  override readonly name = "NoSharedLink";
}

/** A socket of a background link that belongs to this user; undefined where nobody listens. Rejects with `NoSharedLink`. */
export async function connectLink(path: string): Promise<SharedFrames | undefined> {
  const untilMs = performance.now() + clientLimits.linkWelcomeMs;
  for (;;) {
    try {
      return await connectOwn(path);
    } catch (error) {
      if (!(error instanceof SocketError)) throw error;
      if (error.code === "ENOENT" || !isServed(path)) return undefined;
      // Many commands at once: Bun says refused as well where the queue of a listener is full.
      if (performance.now() > untilMs) throw new NoSharedLink(error.message);
    }
    await Bun.sleep(clientLimits.linkStartPollMs);
  }
}

async function connectOwn(path: string): Promise<SharedFrames | undefined> {
  const stream = await connectUnix(path, clientLimits.linkWelcomeMs);
  const uid = peerOf(stream)?.uid;
  if (uid === process.geteuid?.()) return new SharedFrames(stream);
  stream.abort(0);
  if (uid === undefined) return undefined;
  throw new NoSharedLink(`${path} is served by another user (${uid})`);
}

/** Whether the process that made the socket, whose number is in its name, is still a background link. */
function isServed(path: string): boolean {
  const socket = socketOf(dirname(path), basename(path)) ?? basename(path);
  try {
    const words = readFileSync(`/proc/${Number.parseInt(socket, 10)}/cmdline`, "utf8");
    return words.includes("\0link\0serve\0");
  } catch {
    return false;
  }
}

/**
 * Starts the background link unless another command is just doing so, and connects to it. `plan` is
 * asked for only where it is needed: it has the token in it.
 */
export async function startLink(
  folder: string,
  name: string,
  plan: () => Promise<LinkPlan>,
  context: Context,
): Promise<{ readonly frames: SharedFrames; readonly isNew: boolean }> {
  const untilMs = context.monotonicMs() + clientLimits.linkStartMs;
  const path = join(folder, name);
  let given: LinkPlan | undefined;
  do {
    const lock = takeLock(`${path}.lock`);
    if (lock !== undefined) {
      try {
        given ??= await plan();
        await spawnLink(given, lock, context.env);
      } finally {
        closeSync(lock);
      }
    }
    const frames = await connectLink(path);
    if (frames !== undefined) return { frames, isNew: lock !== undefined };
    await Bun.sleep(clientLimits.linkStartPollMs);
  } while (context.monotonicMs() < untilMs);
  throw new NoSharedLink(
    `the background link did not start in ${clientLimits.linkStartMs / 1000} s`,
  );
}

/** Undefined where somebody else has it. */
function takeLock(path: string): number | undefined {
  const fd = openSync(path, "a", 0o600);
  try {
    // Whoever had it before may have taken the file away meanwhile.
    const isOurs = tryLock(fd) && fstatSync(fd).ino === statSync(path).ino;
    if (isOurs) return fd;
  } catch (error) {
    if (!hasCode(error, "ENOENT")) throw error;
  }
  closeSync(fd);
  return undefined;
}

/** Resolves when it listens. Rejects with `NoSharedLink`. */
async function spawnLink(plan: LinkPlan, lock: number, env: Context["env"]): Promise<void> {
  const child = Bun.spawn([...programOnDisk, "link", "serve", plan.config.name], {
    // Its own session: no terminal's signals, and nothing that a terminal's end would take along.
    detached: true,
    cwd: "/",
    env: linkEnv(env),
    // The token travels here, where nobody can look.
    stdio: [Buffer.from(JSON.stringify(plan)), "pipe", "ignore", lock],
  });
  child.unref();
  const word = await within(firstWord(child.stdout), clientLimits.linkStartMs);
  if (word === late) child.kill("SIGKILL");
  if (word !== "ready\n") throw new NoSharedLink("the background link could not be started");
}

async function firstWord(stream: ReadableStream<Uint8Array>): Promise<string> {
  const reader = stream.getReader();
  const { value } = await reader.read();
  await reader.cancel();
  return new TextDecoder().decode(value);
}

/** What it needs to find the same files and to reach the issuer; no token, nothing of the terminal. */
function linkEnv(env: Context["env"]): Record<string, string> {
  const kept = Object.entries(env).flatMap(([name, value]) => {
    if (value === undefined || !wanted.has(name)) return [];
    // It works in another folder.
    return [[name, paths.has(name) && value !== "" ? resolve(value) : value]];
  });
  return { ...(Object.fromEntries(kept) as Record<string, string>), ...keptHeap };
}

const paths: ReadonlySet<string> = new Set([
  "FLY_VAULT_HOME",
  "FLY_VAULT_CONFIG",
  "SSL_CERT_FILE",
  "SSL_CERT_DIR",
  "NODE_EXTRA_CA_CERTS",
]);

const wanted: ReadonlySet<string> = new Set([
  "HOME",
  "PATH",
  "LANG",
  "TZ",
  "FLY_VAULT_HOME",
  "FLY_VAULT_CONFIG",
  "XDG_CONFIG_HOME",
  "XDG_STATE_HOME",
  "XDG_CACHE_HOME",
  "XDG_RUNTIME_DIR",
  "HTTP_PROXY",
  "HTTPS_PROXY",
  "NO_PROXY",
  "http_proxy",
  "https_proxy",
  "no_proxy",
  "SSL_CERT_FILE",
  "SSL_CERT_DIR",
  "NODE_EXTRA_CA_CERTS",
]);
