import { expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import {
  type PendingFolder,
  PendingFolders,
} from "../../../src/roles/init/provision/pending-folders.ts";
import { provisionLimits } from "../../../src/roles/init/provision/limits.ts";
import { seeded } from "../../support/seed.ts";

setDefaultTimeout(120_000);

const component = fc.string({
  unit: fc.constantFrom("a", "\xff", "-"),
  minLength: 1,
  maxLength: 255,
});
const folder: fc.Arbitrary<PendingFolder> = fc.record({
  path: fc.array(component, { maxLength: 16 }).map((parts) => parts.join("/")),
  mode: fc.nat(0o7777),
  mtime: fc.option(
    fc.record({ seconds: fc.integer({ min: 0, max: 2 ** 33 }), nanoseconds: fc.nat(999_999_999) }),
    { nil: undefined },
  ),
});

const depth = ({ path }: PendingFolder) => (path === "" ? 0 : path.split("/").length);

test("folders come back as they were added, the deepest first, in order where equally deep", () => {
  fc.assert(
    fc.property(fc.array(folder, { maxLength: 200 }), (folders) => {
      const pending = new PendingFolders(provisionLimits);
      for (const one of folders) pending.add(one);
      const expected = folders.toSorted((a, b) => depth(b) - depth(a));
      expect([...pending.deepestFirst()].map(plain)).toEqual(expected.map(plain));
    }),
    seeded(200),
  );
});

function plain({ path, mode, mtime }: PendingFolder) {
  return [path, mode, mtime?.seconds, mtime?.nanoseconds];
}
