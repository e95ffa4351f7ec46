import { counted } from "../../../cli/counted.ts";
import { defineCommand } from "../../../cli/command.ts";
import { formatDuration } from "../../../cli/duration.ts";
import { Failure } from "../../../cli/failure.ts";
import { jsonDocument } from "../../../cli/json-document.ts";
import { renderTable } from "../../../cli/table.ts";
import { LinkFolderError } from "./link-place.ts";
import { type ListedLink, listLinks, stopLink } from "./link-list.ts";

const json = { summary: "print JSON" } as const;

export const linkLs = defineCommand({
  name: "link ls",
  summary: "List the background links of this computer",
  positionals: { vault: { name: "VAULT", optional: true } },
  flags: { json },
  description:
    "A background link keeps a vault's attested connection for the commands that come. It ends ten minutes after the last one (link_idle).",
  examples: ["fly-vault link ls", "fly-vault link ls --json | jq -r '.data[].pid'"],
  seeAlso: ["fly-vault link stop", "fly-vault help link"],
  run: async ({ flags, positionals: { vault } }, context) => {
    const { links, none } = await linksOf(vault, context.env);
    if (flags.json) {
      const data = links.map((link) => asJson(link, context.wallMs()));
      await context.stdout.write(jsonDocument("link-list", data));
      return 0;
    }
    if (links.length === 0) await context.stderr.write(none);
    else await context.stdout.write(renderTable(heads, links.map(row)));
    return 0;
  },
});

export const linkStop = defineCommand({
  name: "link stop",
  summary: "End the background link of a vault, or all of them",
  positionals: { vault: { name: "VAULT", optional: true } },
  flags: { json },
  description:
    "A command that is using it goes on: it takes the loss for any other and makes a new link.",
  examples: ["fly-vault link stop my-dev", "fly-vault link stop"],
  seeAlso: ["fly-vault link ls"],
  run: async ({ flags, positionals: { vault }, global }, context) => {
    const { links, none } = await linksOf(vault, context.env);
    const stopped = await Promise.all(links.map(stopLink));
    const left = links.filter((_, at) => stopped[at] === false);
    if (flags.json) {
      const data = links.map(({ vault: name, pid }, at) => ({
        vault: name,
        pid,
        stopped: stopped[at],
      }));
      await context.stdout.write(jsonDocument("link-stop", data));
    } else if (!global.quiet) {
      const count = links.length - left.length;
      await context.stderr.write(links.length === 0 ? none : `stopped ${counted(count, "link")}\n`);
    }
    const [first] = left;
    if (first === undefined) return 0;
    throw new Failure("FV-SYS-001", `the background link of "${first.vault}" does not end`, {
      because: `process ${first.pid} does not answer`,
      fix: `kill ${first.pid}`,
    });
  },
});

async function linksOf(
  vault: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
): Promise<{ readonly links: readonly ListedLink[]; readonly none: string }> {
  try {
    const all = await listLinks(env);
    if (vault === undefined) return { links: all, none: "no background links\n" };
    const links = all.filter((link) => link.vault === vault);
    // Whose one is that stands still, it cannot say.
    const silent = all.filter(({ state }) => state === "silent").length;
    const more = silent === 0 ? "" : `, but ${counted(silent, "silent one")} (fly-vault link ls)`;
    return { links, none: `no background link of "${vault}"${more}\n` };
  } catch (error) {
    if (!(error instanceof LinkFolderError)) throw error;
    throw new Failure("FV-SYS-001", "the folder of the background links is not to be trusted", {
      because: error.message,
      fix: "look who made it; remove it, or  chmod 700  it",
    });
  }
}

const heads = ["VAULT", "MACHINE", "STATE", "SINCE", "IDLE", "STREAMS", "PID"];

function row(link: ListedLink): string[] {
  return [
    link.vault,
    link.machine_id ?? "-",
    link.state,
    formatDuration(link.age_ms),
    link.idle_ms === null ? "-" : formatDuration(link.idle_ms),
    String(link.streams),
    String(link.pid),
  ];
}

function asJson(
  { path: _path, age_ms: ageMs, ...link }: ListedLink,
  nowMs: number,
): Record<string, unknown> {
  return { ...link, since: new Date(nowMs - ageMs).toISOString() };
}
