import { defineCommand } from "../../cli/command.ts";
import { BrokenPipe, type Context } from "../../cli/context.ts";
import { Failure } from "../../cli/failure.ts";
import { ConnectForwards, connectForwardFlags, stdioTargetOf } from "./connect-forwards.ts";
import { Console, type ConsoleEnd } from "./console.ts";
import { finishedStatus, stoppedStatus } from "./exit-status.ts";
import { waitForever } from "./forward-command.ts";
import type { AttestedLink, LinkState } from "./attested-link.ts";
import { overVault, type VaultWork } from "./over-vault.ts";
import { Pipe } from "./pipe.ts";
import { forwardStdio } from "./stdio-forward.ts";
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
    ...connectForwardFlags,
    reprovision: { summary: "replace the root filesystem first; /root and /home stay" },
    "no-shell": { short: "N", summary: "only forward ports, until Ctrl-C" },
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
      const stdioTarget = stdioTargetOf(flags);
      if (stdioTarget !== undefined)
        return overVault(vault, { flags, global, ready: {} }, context, async ({ link }) =>
          forwardStdio(context, link, { vault: config.name, target: stdioTarget }),
        );
      const beside = await ConnectForwards.open(flags, config, context);
      const { forwards } = beside;
      let console: Console | undefined;
      const work = async (given: VaultWork): Promise<number> => {
        const { link, started } = given;
        await beside.start(given);
        if (!global.quiet)
          for (const line of forwards.lines) await context.stderr.write(`${line}\n`);
        if (flags["no-shell"]) return waitForever(link);
        started();
        if (!context.stdin.isTty) return pipeShell(context, link, config, report);
        const escapes = flags.escape !== "none";
        const plan = { ...mainSession(context, config.env), report };
        console = new Console(context, link, plan, { forwards, escapes });
        return consoleStatus(await console.run(), config.name, context);
      };
      const onState = (state: LinkState): void => {
        forwards.linkState(state);
        console?.linkState(state);
      };
      const wish = { flags, global, ready: { replaceWith }, onState };
      return beside.during(work, async (closing) => overVault(vault, wish, context, closing));
    }),
});

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

const mainName = "main";
