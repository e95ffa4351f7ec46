import { defineCommand } from "../../../cli/command.ts";
import type { Context } from "../../../cli/context.ts";
import { UsageError } from "../../../cli/usage-error.ts";
import type { AttestedLink } from "../link/attested-link.ts";
import { ForwardControl } from "./forward-control.ts";
import { forwardFlags, forwardSpecs, splitVault } from "./forward-flags.ts";
import { Forwards } from "./forwards.ts";
import { overVault } from "../link/over-vault.ts";
import { linkFlags, readVault, vaultPositional } from "../link/vault-link.ts";

export const forward = defineCommand({
  name: "forward",
  summary: "Forward ports and sockets of a vault, until Ctrl-C",
  positionals: {
    vault: vaultPositional,
    specs: { name: "SPEC", optional: true, repeatable: true },
  },
  flags: { ...forwardFlags, ...linkFlags },
  description:
    "A SPEC, as a word or with -L, is PORT, LOCAL:PORT, LOCAL:HOST:PORT or BIND:LOCAL:HOST:PORT; ranges are 8000-8010, UDP is 5353/udp, and either end may be the path of a Unix socket. Without any, those of the configuration. Listeners stay while the link is down; new connections are held up to 10 s. One line for each, again whenever it changes.",
  examples: [
    "fly-vault forward my-dev 3000 5432:db:5432 8000-8010",
    "fly-vault forward my-dev /tmp/pg.sock:/run/postgresql/.s.PGSQL.5432",
    "fly-vault forward my-dev -R 9000:localhost:9000 -D 1080",
  ],
  exitStatus: "130 after Ctrl-C; 7 a port is in use, here or in the vault; 255 link lost for good",
  seeAlso: ["fly-vault forward ls", "fly-vault help forwards"],
  run: async ({ flags, positionals, global }, context) => {
    const { vault: name, specs: local } = splitVault(positionals.vault, positionals.specs);
    const vault = await readVault(name, { flags, global }, context);
    const { config } = vault;
    const specs = forwardSpecs(
      {
        local: [...local, ...flags.forward],
        remote: flags["reverse-forward"],
        dynamic: flags["dynamic-forward"],
        gateway: flags.gateway,
      },
      config,
    );
    if (specs.length === 0) throw new UsageError("SPEC is missing, and the configuration has none");
    const screen = new ForwardLines(context, global.quiet);
    const forwards = await Forwards.open(
      specs,
      {
        vault: config.name,
        gateway: flags.gateway,
        note: (line) => void context.stderr.write(`${line}\n`).catch(() => undefined),
        onChange: () => screen.show(forwards.statusLines),
      },
      context,
    );
    const control = new ForwardControl();
    try {
      const wish = {
        flags,
        global,
        ready: {},
        isBulk: true,
        onState: forwards.linkState.bind(forwards),
      };
      return await overVault(vault, wish, context, async ({ link, leaving }) => {
        forwards.use(link);
        leaving(async () => forwards.close());
        const [refused] = await forwards.refusals();
        if (refused !== undefined) throw refused;
        await control.register("forward", { vault: config.name, forwards }, context);
        screen.start(forwards.statusLines);
        return waitForever(link);
      });
    } finally {
      control.close();
      await forwards.close();
    }
  },
});

/** The lines of a command that shows how forwards stand: all at first, then those that changed. */
class ForwardLines {
  readonly #context: Context;
  readonly #isQuiet: boolean;
  #shown: readonly string[] | undefined;

  constructor(context: Context, isQuiet: boolean) {
    this.#context = context;
    this.#isQuiet = isQuiet;
  }

  start(lines: readonly string[]): void {
    this.#shown = [];
    this.show(lines);
  }

  show(lines: readonly string[]): void {
    if (this.#shown === undefined) return;
    const shown = new Set(this.#shown);
    const news = lines.filter((line) => !shown.has(line));
    this.#shown = lines;
    if (this.#isQuiet || news.length === 0) return;
    void this.#context.stdout
      .write(news.map((line) => `${line}\n`).join(""))
      .catch(() => undefined);
  }
}

/** Until a signal ends the command, or the link is lost for good. */
export async function waitForever(link: AttestedLink): Promise<never> {
  for (;;) {
    const connection = await link.connection();
    await connection.closed;
    // What follows the loss is the link's work; one turn later it knows.
    await Bun.sleep(0);
  }
}
