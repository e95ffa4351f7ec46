import type { Context } from "../../cli/context.ts";
import { defineCommand } from "../../cli/command.ts";
import { parseDuration } from "../../cli/duration.ts";
import { Failure } from "../../cli/failure.ts";
import { UsageError } from "../../cli/usage-error.ts";
import type { Request } from "../../protocol/message.ts";
import { agentFlag, offerAgent } from "./agent-forward.ts";
import { Console } from "./console.ts";
import { finishedStatus, stoppedStatus } from "./exit-status.ts";
import { clientLimits } from "./limits.ts";
import type { AttestedLink, LinkState } from "./attested-link.ts";
import { overVault, type VaultWork } from "./over-vault.ts";
import { Pipe } from "./pipe.ts";
import { asFailure } from "./remote-failure.ts";
import {
  attachRequest,
  openRequest,
  randomName,
  terminalEnv,
  terminalSize,
} from "./session-request.ts";
import type { SessionPlan } from "./session-run.ts";
import type { VaultConfig } from "./vault-config.ts";
import { linkFlags, readVault, vaultPositional } from "./vault-link.ts";

export const exec = defineCommand({
  name: "exec",
  summary: "Run a command in a vault, as a pipe",
  positionals: { vault: vaultPositional },
  flags: {
    tty: {
      short: "t",
      negatable: true,
      negativeShort: "T",
      summary: "give the command a terminal, or none (default: none)",
    },
    env: {
      short: "e",
      value: "KEY=VALUE",
      repeatable: true,
      summary: "set a variable; KEY alone copies ours",
    },
    workdir: { short: "w", value: "DIR", summary: "start there (default: home)" },
    user: { short: "u", value: "USER", summary: "run as this user (default: root)" },
    timeout: { value: "DURATION", summary: "end the command after this long, exit 124" },
    session: { value: "ID", summary: "name the session; if it is there, attach to it" },
    ...agentFlag,
    context: { value: "TEXT", summary: "a note that list-exec shows" },
    ...linkFlags,
  },
  passthrough: { name: "COMMAND [ARG…]", optional: true },
  description:
    "The words of COMMAND arrive as they are; there is no shell in between. Ctrl-C is sent to the command, twice ends this client. When the link is lost for longer than --reconnect (2m), the command goes on and its session is named.",
  examples: [
    "fly-vault exec my-dev -- ls -la /",
    "tar c src | fly-vault exec my-dev -- tar x -C /work",
    "fly-vault exec -t my-dev htop",
  ],
  exitStatus:
    "the command's own; 124 timeout, 125 could not be started, 126/127 not executable / not found, 128+n signal n, 255 no link",
  seeAlso: ["fly-vault list-exec", "fly-vault help exit-codes"],
  run: async ({ flags, positionals, rest, global }, context) => {
    const wishes = wishesOf({ ...flags, rest });
    const vault = await readVault(positionals.vault, { flags, global }, context);
    let console: Console | undefined;
    const work = async ({ link, config, started }: VaultWork): Promise<number> => {
      const agent = flags.agent ? await offerAgent(link, flags.user, context) : {};
      started();
      const plan = planOf(wishes, context, { ...config.env, ...agent });
      if (!wishes.tty) return runPipe(context, link, plan, config.name);
      console = new Console(context, link, plan, { escapes: context.stdin.isTty });
      const end = await console.run();
      if (end.kind === "exit") return finishedStatus(end.exit, context);
      return end.kind === "left" ? 0 : stoppedStatus(end.signal);
    };
    const wish = {
      flags,
      global,
      reconnectMs: clientLimits.reconnectMs,
      ready: {},
      onState: (state: LinkState) => console?.linkState(state),
    };
    return overVault(vault, wish, context, work);
  },
});

interface Wishes {
  readonly argv: readonly string[];
  readonly tty: boolean;
  readonly env: readonly string[];
  readonly session: string | undefined;
  readonly workdir: string | undefined;
  readonly user: string | undefined;
  readonly context: string | undefined;
  readonly timeoutMs: number | undefined;
}

function wishesOf(said: {
  readonly rest: readonly string[];
  readonly tty: boolean | undefined;
  readonly env: readonly string[];
  readonly session: string | undefined;
  readonly workdir: string | undefined;
  readonly user: string | undefined;
  readonly context: string | undefined;
  readonly timeout: string | undefined;
}): Wishes {
  if (said.rest.length === 0 && said.session === undefined)
    throw new UsageError("COMMAND is missing (or --session ID of one that runs)");
  if (said.session !== undefined && !/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(said.session))
    throw new UsageError(`--session must be 1 to 64 letters, digits, ".", "_" or "-"`);
  const timeoutMs = said.timeout === undefined ? undefined : parseDuration(said.timeout);
  if (said.timeout !== undefined && (timeoutMs === undefined || timeoutMs === 0))
    throw new UsageError(`--timeout must be a duration such as 30s or 5m, not "${said.timeout}"`);
  for (const word of said.env)
    if (!/^[^=]+/.test(word)) throw new UsageError(`--env ${word} is not KEY=VALUE`);
  return { ...said, argv: said.rest, tty: said.tty ?? false, timeoutMs };
}

function planOf(wishes: Wishes, context: Context, projectEnv: VaultConfig["env"]): SessionPlan {
  const client = randomName(context);
  const size = wishes.tty ? terminalSize(context) : undefined;
  const first: Request[] = [];
  if (wishes.argv.length === 0) {
    first.push(attachRequest(wishes.session ?? "", client, size));
  } else {
    const terminal = wishes.tty ? terminalEnv(context.env) : {};
    const env = { ...terminal, ...projectEnv, ...envOf(wishes.env, context) };
    first.push(
      openRequest({
        id: wishes.session ?? randomName(context),
        client,
        argv: [...wishes.argv],
        tty: wishes.tty,
        env,
        ...size,
        ...(wishes.workdir === undefined ? {} : { cwd: wishes.workdir }),
        ...(wishes.user === undefined ? {} : { user: wishes.user }),
        ...(wishes.context === undefined ? {} : { context: wishes.context }),
        ...(wishes.timeoutMs === undefined ? {} : { timeout_ms: wishes.timeoutMs }),
      }),
    );
  }
  return { client, first };
}

function envOf(words: readonly string[], context: Context): Record<string, string> {
  const env: Record<string, string> = {};
  for (const word of words) {
    const equals = word.indexOf("=");
    const key = equals === -1 ? word : word.slice(0, equals);
    const value = equals === -1 ? context.env[key] : word.slice(equals + 1);
    if (value !== undefined) env[key] = value;
  }
  return env;
}

async function runPipe(
  context: Context,
  link: AttestedLink,
  plan: SessionPlan,
  vault: string,
): Promise<number> {
  const pipe = new Pipe(context, link, plan);
  try {
    const end = await pipe.run();
    switch (end.kind) {
      case "exit":
        return await finishedStatus(end.exit, context);
      case "stopped":
        return stoppedStatus(end.signal);
      case "broken-pipe":
        throw end.error;
    }
  } catch (error) {
    const failure = asFailure(error, vault);
    if (pipe.sessionId === undefined || !(failure instanceof Failure)) throw failure;
    if (failure.code !== "FV-NET-003") throw failure;
    throw new Failure("FV-NET-003", failure.message, {
      because: failure.because ?? "it did not come back",
      fix: `the command goes on; come back to it:  fly-vault exec ${vault} --session ${pipe.sessionId}`,
    });
  }
}
