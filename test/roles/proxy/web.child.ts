import { processContext } from "../../../src/cli/process-context.ts";
import { runWeb } from "../../../src/roles/proxy/web/web.ts";
import { jsonLog } from "../../../src/system/log.ts";

/** The web process by itself, without the broker that starts it. */
const context = processContext();
const code = await runWeb(process.argv[2] ?? "", context, (level) =>
  jsonLog({
    role: "proxy-web",
    level,
    write: (line) => void context.stderr.write(line),
    wallMs: context.wallMs,
  }),
);
process.exit(code);
