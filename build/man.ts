import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { manPages } from "../src/cli/man-page.ts";
import { version } from "../src/cli/program.ts";
import { program as admin } from "../src/roles/admin/program.ts";
import { program as client } from "../src/roles/client/program.ts";

/** Writes dist/man/man1 and man7, from the values that `--help` is made of. */
const folder = join(import.meta.dir, "../dist/man");
await rm(folder, { recursive: true, force: true });
for (const { file, text } of [...manPages(client, version), ...manPages(admin, version)]) {
  const section = join(folder, `man${file.at(-1)}`);
  await mkdir(section, { recursive: true });
  await writeFile(join(section, file), text);
}
