import type { Context } from "../../../cli/context.ts";
import { type Command, defineCommand } from "../../../cli/command.ts";
import { Failure } from "../../../cli/failure.ts";
import { version } from "../../../cli/program.ts";
import { UsageError } from "../../../cli/usage-error.ts";
import { jsonLog, type Log } from "../../../system/log.ts";
import { ListenError, resolveListenAddress } from "../../../system/listen-address.ts";
import { forbidInspection } from "../../../system/process.ts";
import { ownProgram } from "../../../system/self.ts";
import { late, within } from "../../../system/within.ts";
import { Broker } from "./broker.ts";
import {
  metricsAddress,
  proxyFlags,
  type ProxyOptions,
  readOptions,
  udpAddresses,
} from "./options.ts";
import { hideSecrets, type ProxySecrets, takeSecrets } from "./proxy-secrets.ts";
import { quietLog } from "./quiet-log.ts";
import type { RelayPlan } from "../relay-plan.ts";
import type { WebPlan } from "../web-plan.ts";

export function serveCommand(argv: readonly string[]): Command {
  return defineCommand({
    name: "",
    summary: "route the datagrams of clients to their machines, and start those that are stopped",
    description:
      "Needs FLY_API_TOKEN, which may list and start the machines of the app, and the key in " +
      "FLY_VAULT_PROXY_KEY or --key-file. Neither is taken from the command line, where others " +
      "could see it. The log is one JSON document a line on stderr; VAULT_LOG is its level.",
    flags: proxyFlags,
    exitStatus: "0 after SIGTERM or SIGINT; 2 for wrong flags or keys; 1 when it cannot listen",
    run: async ({ flags, global }, context) => {
      const told = readOptions(flags, context.env);
      const options: ProxyOptions = global.verbose > 0 ? { ...told, logLevel: "debug" } : told;
      hideSecrets(argv, context.env);
      const secrets = await takeSecrets(context.env, options);
      return serve(options, secrets, context);
    },
  });
}

/** Until it is told to stop. */
async function serve(
  options: ProxyOptions,
  secrets: ProxySecrets,
  context: Context,
): Promise<number> {
  forbidInspection();
  const log = logTo(context, options);
  const broker = new Broker({
    options,
    ...(await plans(options)),
    secrets,
    program: ownProgram,
    doorCookie: Buffer.from(context.randomBytes(8)).toString("hex"),
    log,
  });
  const { open, app, org } = options;
  log("info", "starting", { version, app, org, open });
  if (open) log("warn", "open", { advice: "anybody may reach and start any machine of the app" });
  const stops = stopSignals(context);
  broker.start();
  const hopeless = broker.hopeless.then(async ({ because }) => {
    await broker.kill();
    throw new Failure("FV-SYS-001", "the proxy cannot listen", {
      because: String(because ?? "its relay ended at once"),
      fix: "compare --listen and --port with the addresses there are and what is in use (ip address; ss -lunp); ports below 1024 want root or CAP_NET_BIND_SERVICE",
    });
  });
  const signal = await Promise.race([stops.first, hopeless]);
  log("info", "draining", { signal, drain_ms: options.drainMs });
  broker.drain();
  const drained = (await within(stops.second, options.drainMs)) === late;
  await (drained ? broker.stop() : broker.kill());
  log("info", "stopped");
  return 0;
}

async function plans(
  options: ProxyOptions,
): Promise<{ readonly relayPlan: RelayPlan; readonly webPlan: WebPlan | undefined }> {
  const { backendPort, logLevel, machineBitsPerSecond, open, sessionTimeoutMs } = options;
  const brokerPid = process.pid;
  try {
    const listen = await udpAddresses(options);
    const http = options.http === undefined ? undefined : await resolveListenAddress(options.http);
    const metrics = await metricsAddress(options);
    const { trustClientIp } = options;
    return {
      relayPlan: {
        brokerPid,
        listen,
        backendPort,
        sessionTimeoutMs,
        open,
        machineBitsPerSecond,
        logLevel,
      },
      webPlan:
        http === undefined && metrics === undefined
          ? undefined
          : { brokerPid, http, metrics, trustClientIp, logLevel },
    };
  } catch (error) {
    throw error instanceof ListenError ? new UsageError(error.message) : error;
  }
}

function logTo(context: Context, { logLevel: level }: ProxyOptions): Log {
  const write = (line: string): void => void context.stderr.write(line).catch(() => undefined);
  const log = jsonLog({ role: "proxy", level, write, wallMs: context.wallMs });
  return quietLog(log, context.monotonicMs);
}

/** The first one asks, the second one insists. */
function stopSignals(context: Context): {
  readonly first: Promise<string>;
  readonly second: Promise<void>;
} {
  const first = Promise.withResolvers<string>();
  const second = Promise.withResolvers<void>();
  let signals = 0;
  context.onStop((signal) => {
    signals += 1;
    if (signals === 1) first.resolve(signal);
    else second.resolve();
  });
  return { first: first.promise, second: second.promise };
}
