import { defineCommand } from "../../../cli/command.ts";
import { BrokenPipe, type Context } from "../../../cli/context.ts";
import { Failure, renderFailure } from "../../../cli/failure.ts";
import { UsageError } from "../../../cli/usage-error.ts";
import { within } from "../../../system/within.ts";
import { clientLimits } from "../limits.ts";
import { overVault, type VaultWork } from "../link/over-vault.ts";
import { asFailure } from "../link/remote-failure.ts";
import { randomName } from "../session/session-request.ts";
import { noteHostKey } from "./ssh-known-host.ts";
import { SshTunnel } from "./ssh-tunnel.ts";
import { TunnelFiles } from "./tunnel-files.ts";
import { linkFlags, readVault } from "../link/vault-link.ts";

export const sshProxy = defineCommand({
  name: "ssh-proxy",
  summary: "Carry one SSH connection to a vault, as ssh's ProxyCommand",
  positionals: { host: { name: "HOST" } },
  flags: linkFlags,
  description:
    "HOST is the vault's name, with or without .vault. Standard input and output are the SSH connection; it goes on when the link is lost and comes back. ssh-config install makes ssh use this for *.vault.",
  examples: ["ssh -o ProxyCommand='fly-vault ssh-proxy %h' root@my-dev.vault"],
  exitStatus: "0 when the connection has ended, 255 when there is none",
  seeAlso: ["fly-vault ssh-config install"],
  run: async ({ flags, positionals, global }, context) => {
    try {
      const { vault: name, host } = parseHost(positionals.host);
      const vault = await readVault(name, { flags, global }, context);
      const work = (given: VaultWork): Promise<number> => carry(host, given, context);
      return await overVault(vault, { flags, global, ready: {} }, context, work);
    } catch (error) {
      // ssh shows these words, and knows no other status.
      if (error instanceof UsageError) await context.stderr.write(`error: ${error.message}\n`);
      else if (error instanceof Failure) await context.stderr.write(renderFailure(error));
      else throw error;
      return noConnection;
    }
  },
});

const noConnection = 255;

/** As ssh calls it, and as the configuration does. */
export function parseHost(said: string): { readonly host: string; readonly vault: string } {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(said))
    throw new UsageError(`"${said}" is no name of a vault`);
  const vault = said.replace(/\.vault$/i, "");
  return { vault, host: `${vault}.vault` };
}

async function carry(
  host: string,
  { link, config, started }: VaultWork,
  context: Context,
): Promise<number> {
  const id = randomName(context);
  const files = TunnelFiles.open(config.name, id, context.env);
  const tunnel = new SshTunnel(link, id, {
    onHostKey: async (hostKey) => {
      files.forgetEnded();
      await noteHostKey(host, hostKey, context.env);
    },
    ended: files.ended,
    input: context.stdin.read(),
    output: async (bytes) => context.stdout.write(bytes),
  });
  // ssh hangs up on us when it ends, with its last words still in the pipe.
  const stopped = Promise.withResolvers<void>();
  started();
  const off = context.onStop(() => stopped.resolve());
  let isOver = false;
  const carryAll = async (): Promise<void> => {
    await tunnel.run();
    isOver = true;
  };
  const running = carryAll();
  try {
    const parting = stopped.promise.then(() => within(running, clientLimits.farewellMs));
    await Promise.race([running, parting]);
    return 0;
  } catch (error) {
    if (error instanceof BrokenPipe) return 0;
    throw asFailure(error, config.name);
  } finally {
    running.catch(() => undefined);
    files.close({ isOver });
    off();
  }
}
