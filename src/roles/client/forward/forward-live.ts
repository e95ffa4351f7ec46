import * as v from "valibot";
import { jsonDocument } from "../../../cli/json-document.ts";
import { defineCommand } from "../../../cli/command.ts";
import type { Context } from "../../../cli/context.ts";
import { Failure } from "../../../cli/failure.ts";
import { renderTable } from "../../../cli/table.ts";
import { UsageError } from "../../../cli/usage-error.ts";
import { askControl, ControlGone, type ControlQuestion } from "./control-client.ts";
import { type ControlForward, forwardListSchema, forwardSchema } from "./control-message.ts";
import { forwardFlags, splitVault } from "./forward-flags.ts";
import {
  forgetRegistered,
  type RegisteredForwards,
  registeredForwards,
} from "./forward-registry.ts";
import type { ForwardKind } from "./forward-spec.ts";
import { readSpec } from "./forwards.ts";
import { vaultPositional } from "../link/vault-link.ts";

/** `forward ls`, `add` and `rm`: the forwards of processes that run, changed from another terminal. */
export const forwardLs = defineCommand({
  name: "forward ls",
  summary: "List the forwards of your running processes",
  positionals: { vault: vaultPositional },
  flags: { json: { summary: "as JSON" } },
  examples: ["fly-vault forward ls", "fly-vault forward ls my-dev --json"],
  seeAlso: ["fly-vault forward", "fly-vault help forwards"],
  run: async ({ flags, positionals, global }, context) => {
    const silent: RegisteredForwards[] = [];
    const found = await runningForwards(positionals.vault, context, silent);
    for (const process of silent) await context.stderr.write(`${silentWords(process)}\n`);
    const all = found.flatMap(({ process, forwards }) =>
      forwards.map((forward) => ({ process, forward })),
    );
    if (flags.json) {
      const data = all.map(({ process: { vault, pid, command }, forward }) => {
        const { line: _, ...rest } = forward;
        return { vault, ...rest, pid, command };
      });
      await context.stdout.write(jsonDocument("forward-list", data));
      return 0;
    }
    if (all.length === 0) {
      if (!global.quiet && silent.length === 0)
        await context.stderr.write("no forwards (fly-vault forward VAULT 3000)\n");
      return 0;
    }
    const rows = all.map(({ process, forward }) => [
      process.vault,
      `-${forward.kind}`,
      forward.listen,
      forward.target ?? "(SOCKS)",
      forward.state,
      String(forward.connections),
      `${process.command} ${process.pid}`,
    ]);
    const heads = ["VAULT", "KIND", "LISTEN", "TARGET", "STATE", "OPEN", "PROCESS"];
    await context.stdout.write(renderTable(heads, rows));
    return 0;
  },
});

export const forwardAdd = defineCommand({
  name: "forward add",
  summary: "Add forwards to a process that runs",
  positionals: {
    vault: vaultPositional,
    specs: { name: "SPEC", optional: true, repeatable: true },
  },
  flags: {
    forward: forwardFlags.forward,
    "reverse-forward": forwardFlags["reverse-forward"],
    "dynamic-forward": forwardFlags["dynamic-forward"],
  },
  description:
    "They end with that process: the oldest `fly-vault forward` of the vault, else the oldest `fly-vault connect`.",
  examples: ["fly-vault forward add my-dev 3000", "fly-vault forward add my-dev -R 9000"],
  exitStatus: "3 no such process, or it refused",
  seeAlso: ["fly-vault forward ls"],
  run: async ({ flags, positionals }, context) => {
    const { vault, specs } = splitVault(positionals.vault, positionals.specs);
    const wishes: readonly (readonly [ForwardKind, string])[] = [
      ...[...specs, ...flags.forward].map((spec) => ["L", spec] as const),
      ...flags["reverse-forward"].map((spec) => ["R", spec] as const),
      ...flags["dynamic-forward"].map((spec) => ["D", spec] as const),
    ];
    if (wishes.length === 0) throw new UsageError("SPEC is missing");
    // A spec that cannot be read is a mistake of ours, not of the other process.
    for (const [kind, spec] of wishes) readSpec(kind, spec, true);
    const silent: RegisteredForwards[] = [];
    const wanted = vault ?? context.env["FLY_VAULT_VAULT"];
    const [first] = await runningForwards(wanted, context, silent);
    if (first === undefined) throw nobody(vault, silent);
    for (const [kind, spec] of wishes) {
      const question = { method: "POST", path: "/forwards", body: { spec, kind } } as const;
      const { line, state } = await tell(first.process, question, forwardSchema);
      await context.stdout.write(`${line}   ${state}\n`);
    }
    return 0;
  },
});

export const forwardRm = defineCommand({
  name: "forward rm",
  summary: "Take a forward from a process that runs",
  positionals: {
    vault: vaultPositional,
    listen: { name: "LISTEN", optional: true, repeatable: true },
  },
  flags: {
    forward: {
      short: "L",
      value: "LISTEN",
      repeatable: true,
      summary: "where this computer listens: a forward that was made as a word or with -L",
    },
    "reverse-forward": {
      short: "R",
      value: "LISTEN",
      repeatable: true,
      summary: "where the vault listens: a forward that was made with -R",
    },
    "dynamic-forward": {
      short: "D",
      value: "LISTEN",
      repeatable: true,
      summary: "where a SOCKS proxy listens: one that was made with -D",
    },
  },
  description:
    "LISTEN is where it listens: a port, an address with its port, or a path. As a word it is of any kind, as long as one alone listens there. Connections that are open go on.",
  examples: ["fly-vault forward rm my-dev 3000", "fly-vault forward rm my-dev -R 9000"],
  exitStatus: "3 no such forward, or more than one",
  seeAlso: ["fly-vault forward ls"],
  run: async ({ flags, positionals }, context) => {
    const { vault, specs } = splitVault(positionals.vault, positionals.listen);
    const wishes: readonly RemoveWish[] = [
      ...specs.map((listen) => ({ listen })),
      ...flags.forward.map((listen) => ({ listen, kind: "L" }) as const),
      ...flags["reverse-forward"].map((listen) => ({ listen, kind: "R" }) as const),
      ...flags["dynamic-forward"].map((listen) => ({ listen, kind: "D" }) as const),
    ];
    if (wishes.length === 0) throw new UsageError("LISTEN is missing");
    const silent: RegisteredForwards[] = [];
    const wanted = vault ?? context.env["FLY_VAULT_VAULT"];
    const found = await runningForwards(wanted, context, silent);
    for (const wish of wishes) {
      const { process, body } = theOneMeant(found, wish) ?? {
        process: found[0]?.process,
        body: wish,
      };
      if (process === undefined) throw nobody(vault, silent);
      const question = { method: "DELETE", path: "/forwards", body } as const;
      const { line } = await tell(process, question, removedSchema);
      await context.stdout.write(`${line}   removed\n`);
    }
    return 0;
  },
});

interface RemoveWish {
  readonly listen: string;
  readonly kind?: ForwardKind;
}

/** Of all processes. Throws `Failure` where more than one listens there, undefined where none is known to. */
function theOneMeant(
  found: readonly RunningForwards[],
  wish: RemoveWish,
): { readonly process: RegisteredForwards; readonly body: RemoveWish } | undefined {
  const meant = found.flatMap(({ process, forwards }) =>
    forwards
      .filter(({ kind }) => wish.kind === undefined || kind === wish.kind)
      .filter((forward) => listensAt(forward, wish.listen))
      .map(({ listen, kind, line }) => ({ process, body: { listen, kind }, line })),
  );
  if (meant.length > 1)
    throw new Failure("FV-FWD-005", `${meant.length} forwards listen on ${wish.listen}`, {
      because: meant.map(({ line }) => line).join(", "),
      fix: "say the vault and the whole address; -L, -R or -D in front of it where they are the same",
    });
  return meant[0];
}

const removedSchema = v.object({ line: v.string() });

export interface RunningForwards {
  readonly process: RegisteredForwards;
  readonly forwards: readonly ControlForward[];
}

/** Of those that answer; others that live are put into `silent`. */
export async function runningForwards(
  vault: string | undefined,
  { env }: Pick<Context, "env">,
  silent: RegisteredForwards[] = [],
): Promise<RunningForwards[]> {
  const registered = registeredForwards(env).filter(
    (each) => vault === undefined || each.vault === vault,
  );
  const asked = registered.map(async (process) => {
    try {
      const question = { method: "GET", path: "/forwards" } as const;
      return { process, forwards: await askControl(process.path, question, forwardListSchema) };
    } catch (error) {
      if (!(error instanceof ControlGone)) throw error;
      if (isAlive(process.pid)) silent.push(process);
      else forgetRegistered(process);
      return undefined;
    }
  });
  return (await Promise.all(asked)).filter((each) => each !== undefined);
}

function isAlive(pid: number): boolean {
  try {
    return pid > 1 && process.kill(pid, 0);
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}

function listensAt({ listen }: ControlForward, wanted: string): boolean {
  return listen === wanted || listen.endsWith(`:${wanted}`);
}

/** One that answered a moment ago. */
async function tell<Schema extends v.GenericSchema>(
  process: RegisteredForwards,
  question: ControlQuestion,
  schema: Schema,
): Promise<v.InferOutput<Schema>> {
  try {
    return await askControl(process.path, question, schema);
  } catch (error) {
    throw error instanceof ControlGone ? noAnswer(process) : error;
  }
}

function nobody(vault: string | undefined, [silent]: readonly RegisteredForwards[]): Failure {
  if (silent !== undefined) return noAnswer(silent);
  return new Failure(
    "FV-FWD-005",
    `no process of yours forwards anything${vault === undefined ? "" : ` for "${vault}"`}`,
    { fix: `start one:  fly-vault forward ${vault ?? "VAULT"} 3000` },
  );
}

function noAnswer(process: RegisteredForwards): Failure {
  return new Failure("FV-FWD-005", silentWords(process), {
    fix: `is it suspended?  kill -CONT ${process.pid}`,
  });
}

function silentWords({ command, pid, vault }: RegisteredForwards): string {
  return `the ${command} of "${vault}" with pid ${pid} does not answer`;
}
