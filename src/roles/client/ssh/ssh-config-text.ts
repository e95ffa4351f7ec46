/** What ssh is told, as text. Files of others are bytes: they pass through here as Latin-1, which loses none. */
export interface SshConfigPlan {
  /** The words that start this program. */
  readonly program: readonly string[];
  readonly knownHosts: string;
  readonly vaults: readonly string[];
}

/** The managed file: a block for each vault, for programs that list hosts, and one for all that come later. */
export function managedText(plan: SshConfigPlan): string {
  return [
    "# Written by fly-vault ssh-config install; changes here do not last.",
    ...plan.vaults.flatMap((vault) => block(`${vault}.vault`, `${vault}.vault`, plan)),
    ...block("*.vault", "%h", plan),
    "",
  ].join("\n");
}

function block(pattern: string, host: string, { program, knownHosts }: SshConfigPlan): string[] {
  const words = program.map((word) => shellWord(word).replaceAll("%", "%%"));
  return [
    "",
    `Host ${pattern}`,
    `  ProxyCommand ${[...words, "ssh-proxy", host].join(" ")}`,
    "  User root",
    // Whose key that is, the attested link has told.
    `  UserKnownHostsFile ${quoted(`${knownHosts.replaceAll("%", "%%")}/${host}`)}`,
    ...(host === "%h" ? [] : [`  HostKeyAlias ${host}`]),
    "  StrictHostKeyChecking yes",
    "  UpdateHostKeys no",
    // The tunnel outlives a lost link; ssh must not lose patience before it.
    "  ServerAliveInterval 0",
    "  SendEnv LANG LC_* COLORTERM",
  ];
}

/** For the shell that runs a ProxyCommand; cmd.exe knows no other quotes either. */
function shellWord(word: string): string {
  return `"${word.replaceAll(/["$`\\]/g, "\\$&")}"`;
}

function quoted(path: string): string {
  return `"${path}"`;
}

/** The one line in the user's own file, the first: what stands before it would be for all hosts. */
export function includeLine(managedPath: string): string {
  return `Include ${quoted(managedPath)}\n`;
}

/** For programs that read ~/.ssh/config and nothing that it includes. */
export function inlineBlock(managed: string): string {
  // What follows is for all hosts again, as it was.
  return `${inlineBegin}\n${managed}\nMatch all\n${inlineEnd}\n`;
}

const inlineBegin =
  "# BEGIN fly-vault: made by ssh-config install, taken out by ssh-config uninstall";
const inlineEnd = "# END fly-vault";

/** Takes out what `install` put there: whole lines of ours, wherever they stand by now, and however an editor ends lines. */
export function withoutOurs(text: string, include: string): string {
  const lines = text.split(/(?<=\n)/);
  const begin = lines.findIndex((line) => line.trimEnd() === inlineBegin);
  const end =
    begin === -1 ? -1 : lines.findIndex((line, at) => at > begin && line.trimEnd() === inlineEnd);
  if (end !== -1) lines.splice(begin, end - begin + 1);
  const own = include.trimEnd();
  return lines.filter((line) => line.trimEnd() !== own).join("");
}

export function isInstalled(text: string, include: string): boolean {
  return withoutOurs(text, include) !== text;
}

/** Lines that go and lines that come, for a person to look at. */
export function changedLines(before: string, after: string): string {
  const [old, now] = [linesOf(before), linesOf(after)];
  let same = 0;
  while (same < Math.min(old.length, now.length) && old[same] === now[same]) same += 1;
  let tail = 0;
  const tailMax = Math.min(old.length, now.length) - same;
  while (tail < tailMax && old[old.length - 1 - tail] === now[now.length - 1 - tail]) tail += 1;
  return [
    ...old.slice(same, old.length - tail).map((line) => `- ${line}\n`),
    ...now.slice(same, now.length - tail).map((line) => `+ ${line}\n`),
  ].join("");
}

function linesOf(text: string): string[] {
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  return lines;
}
