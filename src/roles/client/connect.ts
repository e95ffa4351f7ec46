import { defineCommand } from "../../cli/command.ts";
import { BrokenPipe, type Context } from "../../cli/context.ts";
import { Failure } from "../../cli/failure.ts";
import { UsageError } from "../../cli/usage-error.ts";
import { showAddress } from "./address.ts";
import { finishedStatus, stoppedStatus } from "./exit-status.ts";
import { type Forward, parseForward } from "./forward-spec.ts";
import { Forwards } from "./forwards.ts";
import { clientLimits } from "./limits.ts";
import type { AttestedLink, LinkState } from "./attested-link.ts";
import { overVault, type VaultWork } from "./over-vault.ts";
import { Pipe } from "./pipe.ts";
import { configuredSource } from "./rootfs-source.ts";
import { Interactive } from "./interactive.ts";
import { openRequest, randomName } from "./session-request.ts";
import { shellPlan, shellWish } from "./shell-plan.ts";
import { surroundings } from "./surroundings.ts";
import { statusFlags, withStatus } from "./status-report.ts";
import type { SessionReport } from "./session-run.ts";
import type { VaultConfig } from "./vault-config.ts";
import type { ConsoleEnd } from "./console.ts";
import { escapeFlag } from "./session-flags.ts";
import { within } from "../../system/within.ts";
import { linkFlags, readVault, vaultPositional } from "./vault-link.ts";

export const connect = defineCommand({
  name: "connect",
  summary: "Open the shell of a vault, and keep it over sleep and lost networks",
  positionals: { vault: vaultPositional },
  flags: {
    forward: {
      short: "L",
      value: "SPEC",
      repeatable: true,
      summary: "forward a port: PORT, LOCAL:PORT, LOCAL:HOST:PORT or BIND:LOCAL:HOST:PORT",
    },
    reprovision: { summary: "replace the root filesystem first; /root and /home stay" },
    "no-shell": { short: "N", summary: "only forward ports, until Ctrl-C" },
    session: { value: "NAME", summary: "attach to this session instead of main, or start it" },
    "take-over": { summary: "take the session from whoever has it; do not ask" },
    share: { summary: "join whoever has it; do not ask" },
    new: { summary: "a session of its own beside one that is there: main-2, main-3, …" },
    ...escapeFlag,
    ...statusFlags,
    ...linkFlags,
  },
  description:
    'Attaches to the session "main", which outlives this client, or starts it; if another client has it, asks what to do on a terminal, else takes it over. A cold machine is provisioned first. Without a terminal on stdin a shell of its own reads the commands from there.',
  examples: [
    "fly-vault connect my-dev",
    "fly-vault connect my-dev -L 3000 -L 5432:db:5432",
    "fly-vault connect my-dev --reprovision",
    "fly-vault connect my-dev --session build --share",
  ],
  exitStatus:
    "the shell's own; 0 after ~. ; 4 token refused, 5 attestation failed, 6 no answer, 7 port in use or session taken over, 255 link lost for good",
  seeAlso: ["fly-vault help escapes", "fly-vault help config"],
  run: async ({ flags, positionals, global }, context) =>
    withStatus(flags["status-fd"], async (report) => {
      const vault = await readVault(positionals.vault, { flags, global }, context);
      const { config } = vault;
      const replaceWith = flags.reprovision
        ? await configuredSource(config, "--reprovision", context.env)
        : undefined;
      const note = (line: string): void =>
        void context.stderr.write(`${line}\r\n`).catch(() => undefined);
      const forwards = new Forwards(config.name, forwardsOf(flags.forward, config.forward), note);
      const wishedShell = shellWish(flags);
      const { escape } = flags;
      const interactive = new Interactive(context, { escape, forwards });
      const work = async ({ link, started }: VaultWork): Promise<number> => {
        forwards.use(link);
        if (!global.quiet)
          for (const line of forwards.lines) await context.stderr.write(`${line}\n`);
        if (flags["no-shell"]) return waitForever(link);
        started();
        if (!context.stdin.isTty) return pipeShell(context, link, config, report);
        const plan = shellPlan(wishedShell, interactive.keyboard, config, context);
        return consoleStatus(
          await interactive.run(link, { ...plan, report }),
          config.name,
          context,
        );
      };
      try {
        const onState = (state: LinkState): void => interactive.linkState(state);
        const isScript = !flags["no-shell"] && !context.stdin.isTty;
        const patience = isScript ? { reconnectMs: clientLimits.reconnectMs } : {};
        const wish = { flags, global, ready: { replaceWith }, onState, ...patience };
        // Without a shell this may run in the background, where a terminal is not to be touched.
        if (flags["no-shell"]) return await overVault(vault, wish, context, work);
        return await overVault(interactive.watching(vault), wish, interactive.context, work);
      } finally {
        interactive.close();
        forwards.close();
      }
    }),
});

function forwardsOf(said: readonly string[], configured: readonly string[]): Forward[] {
  const specs = said.length > 0 ? said : configured;
  if (specs.length > clientLimits.forwardPortsMax)
    throw new UsageError(`${specs.length} forwards, at most ${clientLimits.forwardPortsMax}`);
  const listening = new Set<string>();
  return specs.map((spec) => {
    const forward = parseForward(spec);
    if (forward === undefined)
      throw new UsageError(
        `--forward ${spec} is not PORT, LOCAL:PORT, LOCAL:HOST:PORT or BIND:LOCAL:HOST:PORT`,
      );
    const where = showAddress({ host: forward.bind, port: forward.localPort });
    if (listening.has(where)) throw new UsageError(`two forwards listen on ${where}`);
    listening.add(where);
    return forward;
  });
}

async function consoleStatus(end: ConsoleEnd, vault: string, context: Context): Promise<number> {
  switch (end.kind) {
    case "exit":
      return finishedStatus(end.exit, context);
    case "stopped":
      return stoppedStatus(end.signal);
    case "left": {
      const back = `fly-vault connect ${vault}`;
      const said = context.stderr.write(`\nleft "${vault}"; its session goes on (${back})\n`);
      // The terminal may be why they leave.
      await within(
        said.catch(() => undefined),
        clientLimits.lastWordsMs,
      );
      return 0;
    }
  }
}

async function pipeShell(
  context: Context,
  link: AttestedLink,
  { name: vault, env = {} }: Pick<VaultConfig, "name" | "env">,
  report: SessionReport,
): Promise<number> {
  const client = randomName(context);
  const ambient = surroundings(context, false);
  const open = openRequest({ id: randomName(context), client, tty: false, env, ...ambient });
  const end = await new Pipe(context, link, { client, first: [open], report }).run();
  switch (end.kind) {
    case "exit":
      return finishedStatus(end.exit, context);
    case "stopped":
      return stoppedStatus(end.signal);
    case "broken-pipe":
      if (!(end.error instanceof BrokenPipe)) throw end.error;
      throw new Failure("FV-SES-003", `the output of the shell on "${vault}" has no reader`);
  }
}

/** Until a signal ends the command, or the link is lost for good. */
async function waitForever(link: AttestedLink): Promise<never> {
  for (;;) {
    const connection = await link.connection();
    await connection.closed;
    // What follows the loss is the link's work; one turn later it knows.
    await Bun.sleep(0);
  }
}
