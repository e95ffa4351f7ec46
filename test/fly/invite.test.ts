import { expect, test } from "bun:test";
import fc from "fast-check";
import { decodeInvite, encodeInvite, type Invite, InviteError } from "../../src/fly/invite.ts";
import { seeded } from "../support/seed.ts";

const invite: Invite = {
  name: "my-dev",
  address: "[fdaa::3]:8443",
  org: "acme",
  app: "dev-vaults",
  machine_id: "148e21ea7e46e8",
  access_token: "fvt1_secret",
};

function refusal(text: string): string {
  try {
    decodeInvite(text);
  } catch (error) {
    if (error instanceof InviteError) return error.message;
    throw error;
  }
  return "taken";
}

/** As a newer or a hostile program would make it, with a right checksum. */
function sealed(payload: string, prefix = "fly-vault://v1/"): string {
  const body = prefix + Buffer.from(payload).toString("base64url");
  const check = new Bun.CryptoHasher("sha256").update(body).digest("base64url").slice(0, 10);
  return `${body}.${check}`;
}

test("the documented line, byte for byte", () => {
  expect(encodeInvite({ name: "a", address: "b:1", org: "c", app: "d" })).toBe(
    sealed('{"name":"a","address":"b:1","org":"c","app":"d"}'),
  );
});

test("comes back whole, also from a line that was wrapped", () => {
  expect(decodeInvite(encodeInvite(invite))).toEqual(invite);
  const wrapped = encodeInvite(invite).replaceAll(/(.{20})/g, "$1\r\n  ");
  expect(decodeInvite(`\n${wrapped}\n`)).toEqual(invite);
});

test("holds nothing that was not named", () => {
  const more = { ...invite, rootfs: "x", command: "y" };
  expect(decodeInvite(encodeInvite(more))).toEqual(invite);
});

test("is refused with a reason that quotes nothing of it", () => {
  const line = encodeInvite(invite);
  expect(refusal("https://example.com")).toContain("fly-vault://");
  expect(refusal(line.replace("v1", "v2"))).toContain("version");
  expect(refusal(line.slice(0, -3))).toContain("cut short");
  expect(refusal(line.replace(".", ""))).toContain("cut short");
  expect(refusal(`${line}\n${line}`)).toContain("several");
  expect(refusal(sealed("{"))).toContain("JSON");
  expect(refusal(sealed("[]"))).toContain("in it");
  expect(refusal(sealed('{"name":"a","address":"b:1","org":"c"}'))).toContain('"app"');
  expect(
    refusal(sealed('{"name":"a","address":"b:1","org":"c","app":"d","rootfs":"x"}')),
  ).toContain('"rootfs"');
  for (const text of [line.slice(0, -3), sealed("{")])
    expect(refusal(text)).not.toContain("secret");
});

test("any damage of one character is noticed, and no bytes throw anything else", () => {
  const line = encodeInvite(invite);
  fc.assert(
    fc.property(
      fc.nat(line.length - 1),
      fc.constantFrom("a", "b", "X", "0", "1", "-", "_"),
      fc.string({ unit: "binary" }),
      (at, character, noise) => {
        fc.pre(line[at] !== character);
        expect(refusal(line.slice(0, at) + character + line.slice(at + 1))).not.toBe("taken");
        expect(refusal(noise)).not.toBe("taken");
        expect(refusal(sealed(noise))).not.toBe("taken");
      },
    ),
    seeded(300),
  );
});
