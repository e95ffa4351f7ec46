import { defineCommand } from "../../cli/command.ts";
import { BrokenPipe, type Context } from "../../cli/context.ts";
import { Failure } from "../../cli/failure.ts";
import { within } from "../../system/within.ts";
import { Console, type ConsoleEnd } from "./console.ts";
import { finishedStatus, stoppedStatus } from "./exit-status.ts";
import { waitForever } from "./forward-command.ts";
import { ForwardControl } from "./forward-control.ts";
import { forwardFlags, forwardSpecs, refuseBeside } from "./forward-flags.ts";
import { Forwards } from "./forwards.ts";
import { clientLimits } from "./limits.ts";
import type { AttestedLink, LinkState } from "./attested-link.ts";
import { overVault, type VaultWork } from "./over-vault.ts";
import { Pipe } from "./pipe.ts";
import { forwardStdio, readTarget } from "./stdio-forward.ts";
import { configuredSource } from "./rootfs-source.ts";
import {
  attachRequest,
  openRequest,
  randomName,
  terminalEnv,
  terminalSize,
} from "./session-request.ts";
import type { SessionPlan } from "./session-run.ts";
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
    ...forwardFlags,
    "stdio-forward": {
      short: "W",
      value: "HOST:PORT",
      summary: "join standard input and output to a connection there, and nothing else",
    },
    reprovision: { summary: "replace the root filesystem first; /root and /home stay" },
    "control-socket": {
      value: "PATH",
      summary: "answer HTTP here: run commands, list sessions, change forwards",
    },
    "no-shell": { short: "N", summary: "only forward ports, until Ctrl-C" },
    escape: { value: "KEY", choices: ["~", "none"], summary: "the escape key (default ~)" },
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
  run: async ({ flags, positionals, global }, context) => {
    const vault = await readVault(positionals.vault, { flags, global }, context);
    const { config } = vault;
    const replaceWith = flags.reprovision
      ? await configuredSource(config, "--reprovision", context.env)
      : undefined;
    const note = (line: string): void =>
      void context.stderr.write(`${line}\r\n`).catch(() => undefined);
    const pipeTo = flags["stdio-forward"];
    if (pipeTo !== undefined)
      refuseBeside("-W", {
        "-N": flags["no-shell"],
        "-L": flags.forward.length > 0,
        "-R": flags["reverse-forward"].length > 0,
        "-D": flags["dynamic-forward"].length > 0,
        "--reprovision": flags.reprovision,
      });
    const stdioTarget = pipeTo === undefined ? undefined : readTarget(pipeTo);
    const specs = forwardSpecs(
      {
        local: flags.forward,
        remote: flags["reverse-forward"],
        dynamic: flags["dynamic-forward"],
        gateway: flags.gateway,
      },
      config,
    );
    const forwards = await Forwards.open(
      stdioTarget === undefined ? specs : [],
      { vault: config.name, gateway: flags.gateway, note },
      context,
    );
    const socketPath = flags["control-socket"];
    const control = new ForwardControl();
    let console: Console | undefined;
    const work = async ({ link, started, leaving }: VaultWork): Promise<number> => {
      if (stdioTarget !== undefined)
        return forwardStdio(context, link, { vault: config.name, target: stdioTarget });
      forwards.use(link);
      leaving(async () => forwards.close());
      // Only then is it known which port the vault chose, and what it refused.
      await within(forwards.refusals(), clientLimits.replyMs);
      // The shell comes first.
      setTimeout(
        () => void control.register("connect", { vault: config.name, forwards }, context),
        registerAfterMs,
      ).unref();
      if (socketPath !== undefined)
        await control.listen(socketPath, { vault: config.name, forwards, link, context });
      if (!global.quiet) for (const line of forwards.lines) await context.stderr.write(`${line}\n`);
      if (flags["no-shell"]) return waitForever(link);
      started();
      if (!context.stdin.isTty) return pipeShell(context, link, config.name);
      const escapes = flags.escape !== "none";
      console = new Console(context, link, mainSession(context), { forwards, escapes });
      return consoleStatus(await console.run(), config.name, context);
    };
    try {
      const onState = (state: LinkState): void => {
        forwards.linkState(state);
        console?.linkState(state);
      };
      const wish = { flags, global, ready: { replaceWith }, onState };
      // While there is a link by which the vault can be told.
      return await overVault(vault, wish, context, async (given) =>
        work(given).finally(async () => forwards.close()),
      );
    } finally {
      control.close();
      await forwards.close();
    }
  },
});

/**
 * The shared shell: opened where none runs, else joined; the last try is for one that ends in
 * between. Not joined first, because a shell that has ended is still there to be read.
 */
function mainSession(context: Context): SessionPlan {
  const client = randomName(context);
  const size = terminalSize(context);
  const attach = attachRequest(mainName, client, size);
  const open = openRequest({
    id: randomName(context),
    client,
    name: mainName,
    tty: true,
    env: terminalEnv(context.env),
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

async function pipeShell(context: Context, link: AttestedLink, vault: string): Promise<number> {
  const client = randomName(context);
  const open = openRequest({ id: randomName(context), client, tty: false });
  const end = await new Pipe(context, link, { client, first: [open] }).run();
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

const registerAfterMs = 300;
const mainName = "main";
