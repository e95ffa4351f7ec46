import { defineCommand } from "../../cli/command.ts";
import { Failure } from "../../cli/failure.ts";
import { UsageError } from "../../cli/usage-error.ts";
import { deriveAdmissionKey, formatAdmissionKey } from "../../quic/admission-key.ts";
import { readSecretFile } from "./connection.ts";

export const admissionKeyDerive = defineCommand({
  name: "admission-key derive",
  summary:
    "Print a machine's admission key, for its VAULT_ADMISSION_KEY and its clients' admission_key",
  positionals: { machine: { name: "MACHINE", summary: "the machine's id, 14 hexadecimal digits" } },
  flags: {
    "master-file": {
      value: "FILE",
      env: "FLY_VAULT_ADMISSION_MASTER_FILE",
      summary: 'the master, 64 hexadecimal digits ("-": standard input)',
    },
    epoch: { value: "N", summary: "0 to 7; each master has its own (default 0)" },
  },
  examples: [
    "openssl rand -hex 32 > master",
    "fly-vault-admin admission-key derive --master-file master 148e21ea7e46e8",
  ],
  run: async ({ flags, positionals: { machine } }, context) => {
    const epoch = flags.epoch ?? "0";
    if (!/^[0-7]$/.test(epoch)) throw new UsageError("--epoch must be a digit from 0 to 7");
    if (!/^[0-9a-f]{14}$/.test(machine))
      throw new UsageError("MACHINE must be 14 hexadecimal digits (fly machine list)");
    const path = flags["master-file"];
    if (path === undefined) throw new UsageError("--master-file is missing");
    const master = await readSecretFile(path, context);
    if (!/^[0-9a-fA-F]{64}$/.test(master))
      throw new Failure("FV-CLI-001", `"${path}" holds no master of admission keys`, {
        because: "it must be 64 hexadecimal digits",
        fix: "openssl rand -hex 32  makes one",
      });
    const key = deriveAdmissionKey(Buffer.from(master, "hex"), Number(epoch), machine);
    await context.stdout.write(`${formatAdmissionKey(key)}\n`);
    return 0;
  },
});
