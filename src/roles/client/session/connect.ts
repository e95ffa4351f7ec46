import { defineCommand } from "../../../cli/command.ts";
import { BrokenPipe, type Context } from "../../../cli/context.ts";
import { Failure } from "../../../cli/failure.ts";
import {
  ConnectForwards,
  connectForwardFlags,
  stdioTargetOf,
} from "../forward/connect-forwards.ts";
import { autoForwardFlag, plainAudience } from "../forward/auto-forward-flag.ts";
import { autoForwardsOf } from "../forward/auto-forward-choice.ts";
import { agentFlag, offeredAgent } from "../ssh/agent-flag.ts";
import { clientLimits } from "../limits.ts";
import { finishedStatus, stoppedStatus } from "./exit-status.ts";
import { waitForever } from "../forward/forward-command.ts";
import type { AttestedLink, LinkState } from "../link/attested-link.ts";
import { overVault, type VaultWork } from "../link/over-vault.ts";
import { Pipe } from "./pipe.ts";
import { forwardStdio } from "../forward/stdio-forward.ts";
import { configuredSource } from "../provision/rootfs-source.ts";
import { Interactive } from "./interactive.ts";
import { openRequest, randomName } from "./session-request.ts";
import { shellPlan, shellWish } from "./shell-plan.ts";
import { wayBack, withWayBack } from "./shell-way-back.ts";
import { surroundings } from "./surroundings.ts";
import { statusFlags, withStatus } from "./status-report.ts";
import type { SessionReport } from "./session-run.ts";
import type { VaultConfig } from "../vault/vault-config.ts";
import type { ConsoleEnd } from "./console.ts";
import { escapeFlag } from "./session-flags.ts";
import { within } from "../../../system/within.ts";
import { linkFlags, readVault, vaultPositional } from "../link/vault-link.ts";

export const connect = defineCommand({
  name: "connect",
  summary: "Open the shell of a vault, and keep it over sleep and lost networks",
  positionals: { vault: vaultPositional },
  flags: {
    ...connectForwardFlags,
    reprovision: { summary: "replace the root filesystem first; /root and /home stay" },
    "no-shell": { short: "N", summary: "only forward ports, until Ctrl-C" },
    session: { value: "NAME", summary: "attach to this session instead of main, or start it" },
    "take-over": { summary: "take the session from whoever has it; do not ask" },
    share: { summary: "join whoever has it; do not ask" },
    new: { summary: "a session of its own beside one that is there: main-2, main-3, …" },
    ...autoForwardFlag,
    ...agentFlag,
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
      const stdioTarget = stdioTargetOf(flags);
      if (stdioTarget !== undefined)
        return overVault(vault, { flags, global, ready: {} }, context, async ({ link }) =>
          forwardStdio(context, link, { vault: config.name, target: stdioTarget }),
        );
      const wishedShell = shellWish(flags);
      const beside = await ConnectForwards.open(flags, config, context);
      const { forwards } = beside;
      const { escape } = flags;
      const onConsole = context.stdin.isTty && !flags["no-shell"];
      const otherwise = onConsole ? (config.auto_forward ?? "on") : "off";
      const [said, quiet] = [flags["auto-forward"], global.quiet];
      const ports = autoForwardsOf({ said, otherwise, quiet }, config, forwards, context);
      const interactive = new Interactive(context, { escape, forwards, ports });
      const shell = async (given: VaultWork): Promise<number> => {
        const { link, started } = given;
        await beside.start(given);
        ports?.use(link);
        if (!onConsole) ports?.begin(plainAudience(context));
        if (!global.quiet)
          for (const line of forwards.lines) await context.stderr.write(`${line}\n`);
        const agent = await offeredAgent(flags, link, undefined, context);
        const env = { ...config.env, ...agent };
        if (flags["no-shell"]) return waitForever(link);
        started();
        if (!context.stdin.isTty)
          return pipeShell(context, link, { name: config.name, env }, report);
        const place = { env, terminfo: config.terminfo };
        const plan = shellPlan(wishedShell, interactive.keyboard, place, context);
        const end = await interactive
          .run(link, { ...plan, report })
          .catch(async (error: unknown) => {
            throw await withWayBack(error, config.name, plan.shell());
          });
        return consoleStatus(end, { vault: config.name, shell: plan.shell() }, context);
      };
      const onState = (state: LinkState): void => {
        forwards.linkState(state);
        interactive.linkState(state);
      };
      const isScript = !flags["no-shell"] && !context.stdin.isTty;
      const patience = isScript ? { reconnectMs: clientLimits.reconnectMs } : {};
      const wish = { flags, global, ready: { replaceWith }, onState, ...patience };
      try {
        return await beside.during(shell, async (work) =>
          // Without a shell this may run in the background, where a terminal is not to be touched.
          flags["no-shell"]
            ? overVault(vault, wish, context, work)
            : overVault(interactive.watching(vault), wish, interactive.context, work),
        );
      } finally {
        interactive.close();
      }
    }),
});

async function consoleStatus(
  end: ConsoleEnd,
  { vault, shell }: { readonly vault: string; readonly shell: string },
  context: Context,
): Promise<number> {
  switch (end.kind) {
    case "exit":
      return finishedStatus(end.exit, context);
    case "stopped":
      return stoppedStatus(end.signal);
    case "left": {
      const back = wayBack(vault, shell);
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
