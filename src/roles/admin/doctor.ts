import { stat } from "node:fs/promises";
import { defineCommand } from "../../cli/command.ts";
import type { Context } from "../../cli/context.ts";
import { Failure } from "../../cli/failure.ts";
import { UsageError } from "../../cli/usage-error.ts";
import { version } from "../../cli/program.ts";
import { AccountApi } from "../../fly/account-api.ts";
import { systemClock } from "../../fly/api-clock.ts";
import { defaultApiBase } from "../../fly/api-target.ts";
import { ApiTransport } from "../../fly/api-transport.ts";
import { MachinesApi } from "../../fly/machines-api.ts";
import {
  type Connection,
  connectionFlags,
  type ConnectionOptions,
  Interrupted,
  openConnection,
  runOnApi,
} from "./connection.ts";
import { accountChecks } from "./doctor-account.ts";
import { type Check, type CheckOutcome, type CheckReport, runChecks } from "../../cli/check.ts";
import { type CallCounts, FleetChecks, limitsCheck } from "./doctor-fleet.ts";
import { checkJson, renderCheck, resultJson } from "../../cli/check-table.ts";
import { colouredMark } from "../../cli/symbols.ts";
import { keyFileFlag, readProxyMasters } from "./proxy-key-file.ts";

export const doctorCommand = defineCommand({
  name: "doctor",
  summary: "Check the token, its rights, the app and its machines",
  description:
    "One line a check, in order, with what to do under each that failed. Makes and changes nothing.",
  flags: {
    "key-file": keyFileFlag,
    json: { summary: "one line of JSON a check, and one for the result" },
    ...connectionFlags,
  },
  examples: ["fly-vault-admin doctor", "fly-vault-admin doctor --json"],
  exitStatus: "0 nothing failed; 1 something did",
  run: async ({ flags }, context) =>
    runOnApi(context, async () => {
      const tell = async (report: CheckReport): Promise<void> =>
        context.stdout.write(
          flags.json
            ? checkJson(report)
            : renderCheck(report, (status) => colouredMark(status, "stdout", context)),
        );
      const checks = await checksFor(flags, context);
      const reports = await runChecks(checks, context.monotonicMs, tell);
      if (flags.json) await context.stdout.write(resultJson(reports, "doctor"));
      return reports.some(({ status }) => status === "failed") ? 1 : 0;
    }),
});

type DoctorFlags = ConnectionOptions & { readonly "key-file": string | undefined };

/** In the order in which one depends on the other. */
async function checksFor(flags: DoctorFlags, context: Context): Promise<Check[]> {
  const calls: CallCounts = { all: 0, heldBack: 0 };
  const connection = await connect(flags, context);
  const key = keyCheck(flags["key-file"], context);
  if (connection instanceof Failure) return [configurationCheck(connection, flags), key];
  const { account, api } = countedClients(connection, context, calls);
  const { wallMs } = context;
  const needs = ["configuration", "token", "app"];
  const fleet = new FleetChecks(api, wallMs);
  const [token, app, ...rights] = accountChecks(account, api.app, {
    needs: ["configuration"],
    wallMs,
  });
  return [
    configurationCheck(connection, flags),
    ...[token, app].filter((check) => check !== undefined),
    ...fleet.lists(needs),
    ...rights,
    limitsCheck(calls, needs),
    key,
    ...fleet.troubles(needs),
    fleet.versions(),
  ];
}

/** What is missing to ask Fly at all is the first thing to be told. */
async function connect(flags: DoctorFlags, context: Context): Promise<Connection | Failure> {
  try {
    return await openConnection(flags, context);
  } catch (error) {
    if (error instanceof Failure) return error;
    throw error;
  }
}

/** Clients whose calls are counted. Ctrl-C ends them. */
function countedClients(
  { api: { app }, base, token }: Connection,
  context: Context,
  calls: CallCounts,
): { readonly account: AccountApi; readonly api: MachinesApi } {
  const controller = new AbortController();
  // A second Ctrl-C finds nobody listening and ends the program as it always does.
  const unsubscribe = context.onStop((signal) => {
    unsubscribe();
    controller.abort(new Interrupted(signal));
  });
  const { signal } = controller;
  const transport = new ApiTransport({
    base,
    token,
    userAgent: `fly-vault-admin/${version}`,
    clock: systemClock,
    observe: (_, outcome) => {
      calls.all += 1;
      if (outcome === "rate-limited") calls.heldBack += 1;
    },
  });
  return {
    account: new AccountApi({ transport, token, signal }),
    api: new MachinesApi({ transport, app, signal }),
  };
}

function configurationCheck(connection: Connection | Failure, flags: DoctorFlags): Check {
  return {
    name: "configuration",
    title: "configuration",
    run: async (): Promise<CheckOutcome> => {
      if (connection instanceof Failure) return failureOutcome(connection);
      const { api, base } = connection;
      const at = base === defaultApiBase ? "" : ` at ${base}`;
      const detail = `app "${api.app}"${at}`;
      const file = flags["api-token-file"];
      const mode = file === undefined || file === "-" ? 0 : (await stat(file)).mode & 0o777;
      if ((mode & 0o077) === 0) return { status: "ok", detail };
      return {
        status: "warning",
        detail: `${detail}; others can read the token file, mode 0${mode.toString(8)}`,
        fix: `chmod 600 ${file}`,
      };
    },
  };
}

function keyCheck(path: string | undefined, context: Context): Check {
  return {
    name: "key-file",
    title: "proxies' key file",
    run: async (): Promise<CheckOutcome> => {
      if (path === undefined)
        return { status: "skipped", detail: `none is named (--key-file, ${keyFileFlag.env})` };
      try {
        const masters = await readProxyMasters(path, context);
        const epochs = masters.map(({ epoch }) => epoch).join(" and ");
        return { status: "ok", detail: `"${path}" has the master of epoch ${epochs}` };
      } catch (error) {
        if (error instanceof Failure) return failureOutcome(error);
        if (error instanceof UsageError) return { status: "failed", detail: error.message };
        throw error;
      }
    },
  };
}

function failureOutcome({ message, because, fix }: Failure): CheckOutcome {
  return {
    status: "failed",
    detail: because === undefined ? message : `${message}: ${because}`,
    fix: fix ?? "see fly-vault-admin doctor --help",
  };
}
