import { defineCommand } from "../../cli/command.ts";
import { UsageError } from "../../cli/usage-error.ts";
import { openMaster } from "../../quic/proxy-master.ts";
import { admissionKeysText } from "./admission-keys.ts";
import { keyFileFlag, readProxyMasters } from "./proxy-key-file.ts";

const machineArgument = {
  name: "MACHINE",
  summary: "the machine's id, 14 hexadecimal digits",
} as const;

export const proxyKeyDerive = defineCommand({
  name: "proxy-key derive",
  summary: "Print a machine's admission key, for its clients' admission_key",
  description:
    "With --all for the machine's own VAULT_ADMISSION_KEY. `tenant create --proxy` and " +
    "`tenant rekey` do both by themselves.",
  positionals: { machine: machineArgument },
  flags: {
    "key-file": keyFileFlag,
    all: { summary: "the keys of both masters while two are live, with a comma" },
  },
  examples: ["fly-vault-admin proxy-key derive 148e21ea7e46e8 --key-file proxy.key"],
  run: async ({ flags, positionals }, context) => {
    const machine = checkMachineId(positionals.machine);
    const [current, ...others] = await readProxyMasters(flags["key-file"], context);
    const masters = flags.all ? [current, ...others] : [current];
    await context.stdout.write(`${admissionKeysText(masters, machine)}\n`);
    return 0;
  },
});

export const proxyKeyOpen = defineCommand({
  name: "proxy-key open",
  summary: "Print the key that everybody knows, for proxies with --open",
  description: "Machine and clients get it in place of a secret one.",
  positionals: { machine: machineArgument },
  examples: ["fly-vault-admin proxy-key open 148e21ea7e46e8"],
  run: async ({ positionals }, context) => {
    const machine = checkMachineId(positionals.machine);
    await context.stderr.write(
      "warning: this key is no secret; with it anybody can reach the machine's login, and start it\n",
    );
    await context.stdout.write(`${admissionKeysText([openMaster], machine)}\n`);
    return 0;
  },
});

function checkMachineId(machine: string): string {
  if (/^[0-9a-f]{14}$/.test(machine)) return machine;
  throw new UsageError("MACHINE must be 14 hexadecimal digits (fly machine list)");
}
