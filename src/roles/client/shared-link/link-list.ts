import { readdirSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import type { Context } from "../../../cli/context.ts";
import { WireError } from "../../../protocol/errors.ts";
import { hasCode } from "../../../system/filesystem.ts";
import { late, within } from "../../../system/within.ts";
import { clientLimits } from "../limits.ts";
import {
  decodeMessage,
  encodeMessage,
  type LinkDescription,
  linkDescriptionSchema,
} from "./link-message.ts";
import { checkLinkFolder, linkFolder, remove } from "./link-place.ts";
import { connectLink, NoSharedLink } from "./link-start.ts";
import type { SharedFrames } from "./shared-frame.ts";

export interface ListedLink extends Omit<LinkDescription, "state"> {
  readonly state: LinkDescription["state"] | "silent";
  readonly path: string;
}

/** The background links of this user that answer, by vault. Sockets that nobody serves any more are removed. */
export async function listLinks(env: Context["env"]): Promise<ListedLink[]> {
  const folder = linkFolder(env);
  const paths = socketsIn(folder).map((name) => join(folder, name));
  const links = await Promise.all(paths.map(describe));
  return links
    .filter((link) => link !== undefined)
    .toSorted((a, b) => (a.vault < b.vault ? -1 : a.vault > b.vault ? 1 : b.age_ms - a.age_ms));
}

/** Resolves when it is gone, or after a while. False where it would not go. */
export async function stopLink(link: ListedLink): Promise<boolean> {
  const frames = await connectTo(link.path);
  if (frames === undefined) return true;
  if (frames !== "busy") await ask(frames, "stop");
  const isGone = async (): Promise<boolean> => {
    for (;;) {
      const left = await connectTo(link.path);
      if (left === undefined) return true;
      if (left !== "busy") left.close();
      await Bun.sleep(clientLimits.linkStartPollMs);
    }
  };
  return (await within(isGone(), clientLimits.linkStopMs)) === true;
}

/**
 * What was decided about a vault holds from now on: commands that use a link of before make a new one.
 * One that does not end is not waited for.
 */
export async function endLinksOf(
  { name, path }: { readonly name: string; readonly path: string },
  env: Context["env"],
): Promise<void> {
  const links = await listLinks(env).catch(() => []);
  const own = links.filter(({ vault, config }) => vault === name && (config ?? path) === path);
  await Promise.all(own.map(stopLink));
}

function socketsIn(folder: string): string[] {
  try {
    checkLinkFolder(folder);
    return readdirSync(folder)
      .filter((name) => name.endsWith(".sock"))
      .slice(0, clientLimits.linkListMax);
  } catch (error) {
    if (hasCode(error, "ENOENT")) return [];
    throw error;
  }
}

async function describe(path: string): Promise<ListedLink | undefined> {
  const frames = await connectTo(path);
  if (frames === undefined) {
    remove(path);
    return undefined;
  }
  if (frames === "busy") return silent(path);
  const description = await ask(frames, "describe");
  if (description === "silent") return silent(path);
  return description && { ...description, path };
}

/** It stands still, or is of a build that says it in other words: its process is all that is known. */
function silent(path: string): ListedLink {
  return {
    vault: "?",
    state: "silent",
    machine_id: null,
    age_ms: Math.max(0, Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0)),
    idle_ms: null,
    clients: 0,
    streams: 0,
    pid: Number.parseInt(basename(path), 10),
    version: "?",
    path,
  };
}

async function connectTo(path: string): Promise<SharedFrames | "busy" | undefined> {
  try {
    return await connectLink(path);
  } catch (error) {
    if (error instanceof NoSharedLink) return "busy";
    throw error;
  }
}

async function ask(
  frames: SharedFrames,
  type: "describe" | "stop",
): Promise<LinkDescription | "silent" | undefined> {
  try {
    await frames.write(encodeMessage({ type }));
    const answer = await within(frames.read(), clientLimits.linkWelcomeMs);
    if (answer === late) return "silent";
    return answer === null ? undefined : decodeMessage(linkDescriptionSchema, answer);
  } catch (error) {
    if (error instanceof WireError) return "silent";
    // It is just going.
    return undefined;
  } finally {
    frames.close();
  }
}
