import type { Context } from "../../src/cli/context.ts";
import { main as admin } from "../../src/roles/admin/main.ts";
import { main as client } from "../../src/roles/client/main.ts";
import { main as init } from "../../src/roles/init/main.ts";
import { main as local } from "../../src/roles/local/main.ts";
import { main as proxy } from "../../src/roles/proxy/main.ts";
import { memoryContext } from "./memory-context.ts";

type Main = (argv: readonly string[], context: Context) => Promise<number>;

/** docs/cli.md, from the same values that the programs parse and explain themselves by. */
export async function cliDocs(): Promise<string> {
  const topics = ["flags", "config", "environment", "trust", "escapes", "exit-codes"];
  const shown = await Promise.all(topics.map((topic) => help(client, ["help", topic])));
  const parts = [
    introduction,
    await section("fly-vault", client),
    await section("fly-vault-admin", admin),
    await section("init", init, [["sessions"], ["log"]]),
    await section("vault-proxy", proxy),
    await section("fly-local", local),
    `## Help topics\n\n${shown.map(block).join("\n\n")}`,
    errors,
  ];
  return `${parts.join("\n\n")}\n`;
}

const introduction = `# Command line

Written by \`FV_UPDATE_DOCS=1 bun test test/cli/docs.test.ts\` from what the programs say of themselves; the test fails when it is out of date.

One binary, four names: the name it is called by decides (\`fly-vault\`, \`fly-vault-admin\`, \`init\`, \`vault-proxy\`, \`fly-local\`), else its first word (\`fly-vault admin …\`).

- Answers go to stdout: remote bytes, tables, JSON. Everything else goes to stderr: progress, notes, warnings, errors.
- Flags may stand before or after the vault. In \`exec\` the command's first word, or \`--\`, ends them; nothing after it is looked at.
- A flag that is not known, a word too many or a value that is wrong ends with exit code 2 and two lines on stderr, and nothing was done.
- Progress is one line on a terminal, at most ten times a second and not in the first 300 ms. In a pipe, with \`CI\` set or on a dumb terminal it is a line at the start, every ten seconds, and at the end. \`-q\` leaves only errors.
- \`list-exec\` prints one JSON array. With \`--json\`, where a command has it, errors are one line of JSON on stderr.
- Signals: in \`exec\` the first SIGINT, SIGTERM or SIGHUP is sent to the command, the second ends the client and leaves the command. On a terminal the keys go to the remote; signals from outside end the client, the session stays. However it ends, the terminal is put back: line modes, screen, cursor, mouse, paste marks.
- A lost link is made again: at once, then after 0.25 s doubling to 5 s. \`connect\` on a terminal never gives up, \`exec\` after two minutes (\`--reconnect\`). Bytes are counted both ways, so nothing is lost or shown twice; the command is never started a second time.
- A vault with \`admission_key\` is reached over UDP or, where nothing comes back over UDP in 0.4 s, through its proxy over TLS over TCP (\`--transport auto\`). A network that lets no UDP out is noted once and remembered for an hour; UDP is looked at again every five minutes. \`HTTPS_PROXY\` is not used for this.
- While a proxy starts a stopped machine, the client waits up to a minute more and says so: on a terminal \`machine stopped, starting … 2.1 s\`, counting, in a pipe one line.`;

/** `more`: commands beside one that has no name, which the overview is about. */
async function section(
  name: string,
  main: Main,
  more: readonly (readonly string[])[] = [],
): Promise<string> {
  const overview = await help(main, ["--help"]);
  const commands = [...overview.matchAll(/^ {2}([a-z][a-z-]*(?: [a-z][a-z-]*)?) {2,}/gm)].map(
    ([, words = ""]) => words.split(" "),
  );
  const own = commands.filter(([first]) => first !== name && first !== undefined);
  const named = [...own, ...more];
  const texts = await Promise.all(named.map((words) => help(main, [...words, "--help"])));
  return [
    `## ${name}`,
    block(overview),
    ...named.flatMap((words, index) => [
      `### ${name} ${words.join(" ")}`,
      block(texts[index] ?? ""),
    ]),
  ].join("\n\n");
}

async function help(main: Main, argv: readonly string[]): Promise<string> {
  const context = memoryContext();
  const code = await main(argv, context);
  if (code !== 0) throw new Error(`${argv.join(" ")}: exit ${code}: ${context.err()}`);
  return context.out();
}

function block(text: string): string {
  return `\`\`\`text\n${text.trimEnd()}\n\`\`\``;
}

const errors = `## Errors

\`\`\`text
error: what failed, in the user's words
  cause: what is known, with numbers
  fix:   at most two commands or facts
  code:  FV-NET-002 · fly-vault explain FV-NET-002
\`\`\`

On a terminal, and with \`-v\`, a connection that failed shows how far it came:

\`\`\`text
✓ dns: 192.0.2.7:443
✓ proxy answers
✗ machine is being started, and was not up in time
error: ...
  more:  fly-vault doctor my-dev
\`\`\`

With \`--json\` an error is one line on stderr, that of wrong words too.

A code never gets a second meaning. Text that came from the other side is quoted without control characters. [troubleshooting.md](troubleshooting.md) has all codes.`;
