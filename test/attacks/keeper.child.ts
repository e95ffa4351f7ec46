import { writeSync } from "node:fs";
import { processContext } from "../../src/cli/process-context.ts";
import { deriveLoginKey } from "../../src/fly/token.ts";
import { initLimits } from "../../src/roles/init/limits.ts";
import { main } from "../../src/roles/init/main.ts";
import { memoryFile } from "../../src/system/process.ts";

/**
 * init whose links come back without growing pauses: dozens are killed in a minute. The token is taken
 * care of here, since init would start itself anew, with the limits as they are, to be rid of it.
 */
Object.assign(initLimits, { linkRestartPauseMsMax: initLimits.linkRestartPauseMs });
const { ACCESS_TOKEN = "", ...env } = process.env;
const key = memoryFile("login-key");
writeSync(key, deriveLoginKey(ACCESS_TOKEN, env["FLY_APP_NAME"] ?? ""));
const context = { ...processContext(), env: { ...env, VAULT_LOGIN_KEY_FD: String(key) } };
process.exit(await main([], context));
