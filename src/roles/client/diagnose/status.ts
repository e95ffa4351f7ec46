import { defineCommand } from "../../../cli/command.ts";
import { formatDuration } from "../../../cli/duration.ts";
import { printable } from "../../../cli/printable.ts";
import { formatSize } from "../../../cli/size.ts";
import { type Report, reportSchema } from "../../../protocol/message.ts";
import { askOnce } from "../link/ask-once.ts";
import type { AttestedLink, LinkLogin } from "../link/attested-link.ts";
import { overVault } from "../link/over-vault.ts";
import { linkFlags, readVault, vaultPositional } from "../link/vault-link.ts";
import { vaultStatusJson } from "./status-json.ts";

export const statusCommand = defineCommand({
  name: "status",
  summary: "Show how a vault is: machine, root filesystem, sessions, disk, memory",
  positionals: { vault: vaultPositional },
  flags: { json: { summary: "print one JSON document" }, ...linkFlags },
  description: "A machine that is stopped is woken by it, as by every command.",
  examples: ["fly-vault status my-dev", "fly-vault status my-dev --json | jq .data.disk"],
  seeAlso: ["fly-vault sessions", "fly-vault verify", "fly-vault doctor"],
  run: async ({ flags, positionals, global }, context) => {
    const vault = await readVault(positionals.vault, { flags, global }, context);
    return overVault(vault, { flags, global }, context, async ({ link, config }) => {
      const report = await machineReport(link);
      const text = flags.json
        ? vaultStatusJson(config.name, link.login, report)
        : statusLines(config.name, link.login, report);
      await context.stdout.write(text);
      return 0;
    });
  },
});

/** Rejects with `RemoteError` "unsupported" where the machine is too old to say. */
export async function machineReport(link: AttestedLink): Promise<Report> {
  return askOnce(link, { type: "report" }, reportSchema);
}

function statusLines(vault: string, login: LinkLogin, report: Report): string {
  const { machine, status } = login;
  const { rolled_back: rolledBack, rootfs_sha256: sha256 } = status;
  const rows: (readonly [string, string])[] = [
    ["machine", [machine.machineId, machine.region ?? ""].join(" ").trim()],
    ["state", stateWords(login)],
    ["up", formatDuration(report.uptime_ms)],
    ["init", versions(login)],
    ["rootfs", sha256 === undefined ? "-" : `sha256 ${sha256.slice(0, 12)}…`],
    ...(rolledBack === undefined ? [] : [["went back", rolledBack.because] as const]),
    ["sessions", `${report.sessions_running} running, ${report.sessions_attached} attached`],
    ...(report.idle === undefined ? [] : [["idle timer", idleWords(report.idle)] as const]),
    ["load", report.load.toFixed(2)],
    ["disk", spaceWords(report.disk)],
    ["memory", spaceWords(report.memory)],
  ];
  const lines = rows.map(([head, words]) => `  ${head.padEnd(12)}${printable(words)}\n`);
  return `${vault}\n${lines.join("")}`;
}

function stateWords({ status }: LinkLogin): string {
  switch (status.vm_state) {
    case "cold":
      return "no root filesystem yet";
    case "provisioning":
      return "being provisioned";
    case "ready":
      return status.runtime === "failed" ? "its init does not stay up" : `ready, ${status.runtime}`;
  }
}

function versions({ status: { init_version, link_version } }: LinkLogin): string {
  return link_version === undefined || link_version === init_version
    ? init_version
    : `${init_version}, link ${link_version}`;
}

function idleWords({
  stop_after_ms: stopAfterMs,
  idle_ms: idleMs,
}: NonNullable<Report["idle"]>): string {
  const left = formatDuration(Math.max(0, stopAfterMs - idleMs));
  return `stops in ${left}, unless it is used (${formatDuration(stopAfterMs)} in all)`;
}

/** What counts is what is left. */
export function spaceWords(space: Report["disk"]): string {
  if (space === undefined) return "not known";
  const { total_bytes: total, available_bytes: available } = space;
  const used = total === 0 ? 0 : Math.round((1 - available / total) * 100);
  return `${formatSize(available)} of ${formatSize(total)} free (${used}% used)`;
}
