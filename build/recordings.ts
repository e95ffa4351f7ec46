import { join, resolve } from "node:path";
import { consoleSteps } from "../test/docs/console-block.ts";
import { PageShell } from "../test/docs/page-shell.ts";
import { beginning, exceptions } from "../test/docs/pages.ts";
import { debianRootfs } from "./demo/rootfs.ts";
import { terminalSvg } from "./recordings/terminal-svg.ts";

/** `make recordings`: docs/media/*.svg, drawn from real terminals. They go on where the quickstart ends. */

const root = resolve(import.meta.dir, "..");
const columns = 100;

await using shell = await PageShell.open(await debianRootfs());
const page = await Bun.file(join(root, beginning.page)).text();
for (const { command } of consoleSteps(page, beginning.untilHeading)) {
  if (command.startsWith("fly-vault connect")) continue;
  const other = exceptions.find((exception) => exception.command.test(command));
  await run(other?.instead ?? command);
}
await record("reconnect", 13, async (screen) => {
  await screen.type("fly-vault connect acme");
  await screen.shows(/acme:~#\s*$/);
  await screen.type("for n in 1 2 3 4 5 6 7 8 9; do echo step $n; sleep 1; done");
  await screen.shows(/step 2/);
  await run(
    "nft 'add table inet away; add chain inet away in { type filter hook input priority 0; policy drop; }'",
  );
  await screen.shows(/link down 00:0[6-9]/);
  const away = await screen.picture();
  await run("nft delete table inet away");
  await screen.shows(/step 9/);
  return [away, await screen.picture()];
});
await record("provision", 7, async (screen) => {
  await screen.type("fly-vault provision acme --from ~/debian.tar.zst");
  await screen.shows(/unpack [3-9]\d{3}/);
  const unpacking = await screen.picture();
  await screen.shows(/has its root filesystem/);
  return [unpacking, await screen.picture()];
});

interface Screen {
  type(line: string): Promise<void>;
  shows(pattern: RegExp): Promise<void>;
  picture(): Promise<string>;
}

/** A shell in a terminal of `rows` lines; what `play` returns is drawn. */
async function record(
  name: string,
  rows: number,
  play: (screen: Screen) => Promise<readonly string[]>,
): Promise<void> {
  const tmux = "tmux -u -f /dev/null -S ~/tmux.sock";
  await run(
    `${tmux} start-server \\; set -g status off \\; new-session -d -x ${columns} -y ${rows} env PS1='$ ' bash --noprofile --norc`,
  );
  const picture = async (): Promise<string> => run(`${tmux} capture-pane -p -e`);
  const screens = await play({
    picture,
    type: async (line) => {
      await run(`${tmux} send-keys -l '${line.replaceAll("'", `'\\''`)}' \\; send-keys Enter`);
    },
    shows: async (pattern) => {
      for (let tries = 0; !pattern.test(Bun.stripANSI(await picture())); tries++) {
        if (tries === 300) throw new Error(`${pattern} is not shown:\n${await picture()}`);
        await Bun.sleep(50);
      }
    },
  });
  await run(`${tmux} kill-server`);
  const drawn = screens.map((screen) => screen.replaceAll(shell.home, "/home/me"));
  await Bun.write(join(root, `docs/media/${name}.svg`), terminalSvg(drawn, columns));
  console.log(`docs/media/${name}.svg`);
}

async function run(command: string): Promise<string> {
  const { output, exitCode } = command.endsWith(" &")
    ? await shell.runBeside(command.slice(0, -2), (printed) => printed.includes("ready"))
    : await shell.run(command);
  if (exitCode !== 0) throw new Error(`${command} ended with ${exitCode}:\n${output}`);
  return output;
}
