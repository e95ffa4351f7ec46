import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { addTable, removeKey, removeTable, setKey } from "../../src/cli/toml-edit.ts";
import { tomlKey, tomlString } from "../../src/cli/toml-words.ts";
import { seeded } from "../support/seed.ts";

const source = `# my vaults
default_vault = "home" # for now

[vault.home] # the one at home
address = "home:8443"   # odd   spacing
note = """
[vault.work]
address = "not a table"
"""
token = { file = "home.token" } # keep

# work
[vault.work]
forward = [
  "3000", # "[vault.home]"
]
address = 'work:8443'

[vault.work.attest]
pin_image = true

# the end
`;

describe("a table", () => {
  test("is appended after one empty line, and nothing else changes", () => {
    const edited = addTable(["vault", "new.one"], ['address = "x:1"'])(source);
    expect(edited).toBe(`${source}\n[vault."new.one"]\naddress = "x:1"\n`);
    expect(addTable(["vault", "a"], ["b = 1"])("")).toBe("[vault.a]\nb = 1\n");
    expect(addTable(["vault", "a"], ["b = 1"])("x = 1")).toBe("x = 1\n\n[vault.a]\nb = 1\n");
    expect(addTable(["vault", "a"], ["b = 1"])("x = 1\r\n")).toBe(
      "x = 1\r\n\r\n[vault.a]\r\nb = 1\r\n",
    );
  });

  test("is not added twice, nor to what is no table", () => {
    expect(addTable(["vault", "home"], ["b = 1"])(source)).toBeUndefined();
    expect(addTable(["vault", "home"], ["b = 1"])("vault = 3\n")).toBeUndefined();
    expect(addTable(["vault", "home"], ["b = 1"])("vault = {}\n")).toBeUndefined();
  });

  test("is taken out with its sub-tables; comments before and after stay", () => {
    const edited = removeTable(["vault", "work"])(source) ?? "";
    expect(edited).toBe(
      `${source.slice(0, source.indexOf("[vault.work]\nforward"))}\n\n# the end\n`,
    );
    expect(removeTable(["vault", "none"])(source)).toBeUndefined();
    expect(removeTable(["vault", "a"])("vault.a.b = 1\n")).toBeUndefined();
    expect(removeTable(["vault", "a"])("[vault.a]\nb = 1\n")).toBe("");
    expect(removeTable(["vault", "a"])("[vault]\n[vault.a]\nb = 1\n")).toBe("[vault]\n");
  });
});

describe("a key", () => {
  test("is set where it stands, its comment stays", () => {
    expect(setKey([], "default_vault", '"work"')(source)).toBe(
      source.replace('"home" # for', '"work" # for'),
    );
    expect(setKey(["vault", "home"], "token", "{ keychain = true }")(source)).toBe(
      source.replace('{ file = "home.token" }', "{ keychain = true }"),
    );
    expect(setKey(["vault", "work"], "forward", "[]")(source)).toContain("forward = []\naddress");
  });

  test("is added after the table's last one, or at the top", () => {
    expect(setKey(["vault", "work"], "token", '"t"')(source)).toContain(
      "address = 'work:8443'\ntoken = \"t\"\n\n[vault.work.attest]",
    );
    expect(setKey([], "default_vault", '"a"')("# c\n[vault.a]\nb = 1")).toBe(
      'default_vault = "a"\n# c\n[vault.a]\nb = 1',
    );
    expect(setKey(["vault", "a"], "c", "2")("[vault.a]\nb = 1")).toBe("[vault.a]\nb = 1\nc = 2\n");
    expect(setKey(["vault", "b"], "c", "2")("[vault.a]\nb = 1")).toBeUndefined();
    expect(setKey(["vault", "a"], "token", "2")("[vault.a]\ntoken.file = 1\n")).toBeUndefined();
  });

  test("is taken out with its line", () => {
    expect(removeKey([], "default_vault")(source)).toBe(
      source.replace('default_vault = "home" # for now\n', ""),
    );
    expect(removeKey([], "other")(source)).toBeUndefined();
  });
});

test("what is no TOML is not touched", () => {
  expect(addTable(["vault", "a"], ["b = 1"])("[vault.b\n")).toBeUndefined();
});

const value = fc.oneof(
  fc.string().map(tomlString),
  fc.constantFrom(
    "'[x]'",
    '"""\n[vault.z] # "" \n"""',
    "'''\n[a]\n'''",
    "[1, # c\n 2]",
    "{ a = 1 }",
    "12",
  ),
);
const name = fc.oneof(
  fc.stringMatching(/^[a-z]{1,3}$/),
  fc.string({ minLength: 1, maxLength: 4 }).filter((text) => text !== "__proto__"),
);
const gap = fc.constantFrom("", "\n", "# note [vault.x]\n", "  # a = 1\n\n");
const documents = fc
  .tuple(
    fc.uniqueArray(name, { minLength: 1, maxLength: 4 }),
    fc.array(fc.tuple(gap, value), { minLength: 4, maxLength: 4 }),
    gap,
  )
  .map(([names, parts, end]) => {
    const tables = names.map((table, index) => {
      const [before = "", text = "1"] = parts[index] ?? [];
      return { before, head: `[vault.${tomlKey(table)}]\nkey = `, text };
    });
    /** The document, with another text for each table's value, or without the table. */
    const written = (other: (index: number) => string | undefined): string =>
      tables
        .map(({ before, head }, index) => {
          const text = other(index);
          return before + (text === undefined ? "" : `${head}${text} # c\n`);
        })
        .join("") + end;
    return { names, written, text: written((index) => tables[index]?.text), tables };
  });

test("adding and taking out again gives the same bytes, for any document", () => {
  fc.assert(
    fc.property(documents, name, value, ({ names, text }, added, entry) => {
      fc.pre(!names.includes(added));
      const path = ["vault", added];
      const grown = addTable(path, [`key = ${entry}`])(text);
      expect(grown?.startsWith(text)).toBeTrue();
      const shrunk = removeTable(path)(grown ?? "");
      expect(shrunk?.trimEnd()).toBe(text.trimEnd());
    }),
    seeded(300),
  );
});

test("setting a key, or taking a table out, leaves every other byte, for any document", () => {
  fc.assert(
    fc.property(documents, fc.nat(3), value, ({ names, text, written, tables }, at, entry) => {
      const chosen = at % names.length;
      const path = ["vault", names[chosen] ?? ""];
      const changed = (to: string | undefined): string =>
        written((index) => (index === chosen ? to : tables[index]?.text));
      expect(setKey(path, "key", entry)(text)).toBe(changed(entry));
      expect(removeTable(path)(text)).toBe(changed(undefined));
    }),
    seeded(300),
  );
});
