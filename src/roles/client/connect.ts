import { defineCommand } from "../../cli/command.ts";
import { BrokenPipe, type Context } from "../../cli/context.ts";
import { Failure } from "../../cli/failure.ts";
import { UsageError } from "../../cli/usage-error.ts";
import { agentFlag, offerAgent } from "./agent-forward.ts";
import { showAddress } from "./address.ts";
import { Console, type ConsoleEnd } from "./console.ts";
import { finishedStatus, stoppedStatus } from "./exit-status.ts";
import { type Forward, parseForward } from "./forward-spec.ts";
import { Forwards } from "./forwards.ts";
import { clientLimits } from "./limits.ts";
import type { AttestedLink, LinkState } from "./attested-link.ts";
import { overVault, type VaultWork } from "./over-vault.ts";
import { Pipe } from "./pipe.ts";
import { configuredSource } from "./rootfs-source.ts";
import {
  attachRequest,
  openRequest,
  randomName,
  terminalEnv,
  terminalSize,
} from "./session-request.ts";
import type { VaultConfig } from "./vault-config.ts";
import type { SessionPlan, SessionReport } from "./session-run.ts";
import { statusFlags, withStatus } from "./status-report.ts";
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
    ...agentFlag,
    escape: { value: "KEY", choices: ["~", "none"], summary: "the escape key (default ~)" },
    ...statusFlags,
    ...linkFlags,
  },
  description:
    'Attaches to the session "main", which outlives this client, or starts it. A cold machine is provisioned first. Without a terminal on stdin a shell of its own reads the commands from there.',
  examples: [
    "fly-vault connect my-dev",
    "fly-vault connect my-dev -L 3000 -L 5432:db:5432",
    "fly-vault connect my-dev --reprovision",
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
      let console: Console | undefined;
      const work = async ({ link, started }: VaultWork): Promise<number> => {
        forwards.use(link);
        if (!global.quiet)
          for (const line of forwards.lines) await context.stderr.write(`${line}\n`);
        const agent = flags.agent ? await offerAgent(link, undefined, context) : {};
        const env = { ...config.env, ...agent };
        if (flags["no-shell"]) return waitForever(link);
        started();
        if (!context.stdin.isTty)
          return pipeShell(context, link, { name: config.name, env }, report);
        const escapes = flags.escape !== "none";
        console = new Console(
          context,
          link,
          { ...mainSession(context, env), report },
          { forwards, escapes },
        );
        return consoleStatus(await console.run(), config.name, context);
      };
      try {
        const onState = (state: LinkState): void => console?.linkState(state);
        const wish = { flags, global, ready: { replaceWith }, onState };
        return await overVault(vault, wish, context, work);
      } finally {
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

/**
 * The shared shell: opened where none runs, else joined; the last try is for one that ends in
 * between. Not joined first, because a shell that has ended is still there to be read.
 */
function mainSession(context: Context, projectEnv: VaultConfig["env"]): SessionPlan {
  const client = randomName(context);
  const size = terminalSize(context);
  const attach = attachRequest(mainName, client, size);
  const open = openRequest({
    id: randomName(context),
    client,
    name: mainName,
    tty: true,
    env: { ...terminalEnv(context.env), ...projectEnv },
    ...size,
  });
  return { client, first: [open, attach, open] };
}

async function consoleStatus(end: ConsoleEnd, vault: string, context: Context): Promise<number> {
  switch (end.kind) {
    case "exit":
      return finishedStatus(end.exit, context);
    case "left":
      await context.stderr.write(
        `\nleft "${vault}"; its session goes on (fly-vault connect ${vault})\n`,
      );
      return 0;
    case "stopped":
      return stoppedStatus(end.signal);
  }
}

async function pipeShell(
  context: Context,
  link: AttestedLink,
  { name: vault, env = {} }: Pick<VaultConfig, "name" | "env">,
  report: SessionReport,
): Promise<number> {
  const client = randomName(context);
  const open = openRequest({ id: randomName(context), client, tty: false, env });
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

const mainName = "main";
