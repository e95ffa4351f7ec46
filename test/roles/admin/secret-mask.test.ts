import { expect, test } from "bun:test";
import { maskSecrets } from "../../../src/roles/admin/secret-mask.ts";

test("variables that are called keys are masked, those that only sound like it are not", () => {
  const env = {
    VAULT_ADMISSION_KEY: "a",
    DB_PASS: "x",
    PG_PWD: "x",
    PASSENGERS: "f",
    SSH_KEYS: "b",
    KEY_FILE: "c",
    KEYBOARD: "d",
    MONKEY: "e",
  };
  expect(maskSecrets({ env })).toEqual({
    env: {
      VAULT_ADMISSION_KEY: "***",
      DB_PASS: "***",
      PG_PWD: "***",
      PASSENGERS: "f",
      SSH_KEYS: "***",
      KEY_FILE: "***",
      KEYBOARD: "d",
      MONKEY: "e",
    },
  });
});

test("keys of ours are masked wherever they stand, and of two each", () => {
  const key = `fva1_3_148e21ea7e46e8_${"A-_z".repeat(16)}`;
  const master = `fvp1_3_${"x".repeat(43)}`;
  expect(maskSecrets({ note: [`${key},${key}`, `(${master})`, "fva1 is a prefix"] })).toEqual({
    note: ["***,***", "(***)", "fva1 is a prefix"],
  });
});

test("tokens of ours and of Fly, and passwords in URLs, are masked wherever they stand", () => {
  const value = {
    init: { cmd: ["--token", "fvt1_abc-DEF_123456", "FlyV1 fm2_lJPE+/w==,fm2_x"] },
    env: { UPSTREAM: "postgres://app:hunter2@db.internal:5432/x", PLAIN: "http://host/a:b@c" },
  };
  expect(maskSecrets(value)).toEqual({
    init: { cmd: ["--token", "***", "FlyV1 ***,***"] },
    env: { UPSTREAM: "postgres://app:***@db.internal:5432/x", PLAIN: "http://host/a:b@c" },
  });
});
