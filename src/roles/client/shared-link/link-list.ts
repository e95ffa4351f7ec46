import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { Context } from "../../../cli/context.ts";
import { hasCode } from "../../../system/filesystem.ts";
import { within } from "../../../system/within.ts";
import { clientLimits } from "../limits.ts";
import {
  decodeMessage,
  encodeMessage,
  type LinkDescription,
  linkDescriptionSchema,
} from "./link-message.ts";
import { checkLinkFolder, linkFolder, remove } from "./link-place.ts";
import { connectLink } from "./link-start.ts";
import type { SharedFrames } from "./shared-frame.ts";

export interface ListedLink extends LinkDescription {
  readonly path: string;
}

/** The background links of this user that answer, by vault. Sockets that nobody serves any more are removed. */
export async function listLinks(env: Context["env"]): Promise<ListedLink[]> {
  const folder = linkFolder(env);
  const paths = socketsIn(folder).map((name) => join(folder, name));
  const links = await Promise.all(paths.map(describe));
  return links
    .filter((link) => link !== undefined)
    .toSorted((a, b) => (a.vault < b.vault ? -1 : a.vault > b.vault ? 1 : b.since_ms - a.since_ms));
}

/** Resolves when it is gone, or after a while. False where it would not go. */
export async function stopLink(link: ListedLink): Promise<boolean> {
  const frames = await connectLink(link.path);
  if (frames === undefined) return true;
  await ask(frames, "stop");
  const isGone = async (): Promise<boolean> => {
    for (;;) {
      const left = await connectLink(link.path);
      if (left === undefined) return true;
      left.close();
      await Bun.sleep(clientLimits.linkStartPollMs);
    }
  };
  return (await within(isGone(), clientLimits.linkStopMs)) === true;
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
  const frames = await connectLink(path);
  if (frames === undefined) {
    remove(path);
    return undefined;
  }
  const description = await ask(frames, "describe");
  return description && { ...description, path };
}

async function ask(
  frames: SharedFrames,
  type: "describe" | "stop",
): Promise<LinkDescription | undefined> {
  try {
    await frames.write(encodeMessage({ type }));
    const answer = await within(frames.read(), clientLimits.linkWelcomeMs);
    if (answer === null || typeof answer === "symbol") return undefined;
    return decodeMessage(linkDescriptionSchema, answer);
  } catch {
    // It is just going.
    return undefined;
  } finally {
    frames.close();
  }
}
