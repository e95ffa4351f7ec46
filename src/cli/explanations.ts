import { adminExplanations } from "./admin-explanations.ts";
import { configExplanations } from "./config-explanations.ts";
import type { FailureCode } from "./failure-codes.ts";
import { updateExplanations } from "./update-explanations.ts";

/** What `explain CODE` prints below the title: what it means, then what to do. */
export interface Explanation {
  readonly meaning: string;
  readonly remedy: string;
}

export const explanations: Readonly<Record<FailureCode, Explanation>> = {
  ...configExplanations,
  "FV-CLI-001": {
    meaning: "The words of the command line do not fit the command.",
    remedy: "`COMMAND --help` shows what it takes. Nothing was done.",
  },
  "FV-NET-001": {
    meaning: "The host name of the vault's address has no address, or no resolver answered.",
    remedy: "Check `address` in the configuration, and that this computer is online.",
  },
  "FV-NET-002": {
    meaning:
      "Datagrams were sent and nothing came back. The machine may be stopped, the address wrong, or UDP blocked on the way. A machine with an admission key is silent as well when admission_key is missing or another one, or when the clocks are more than 90 s apart. Where there is a vault-proxy, TLS over TCP was tried too (--transport, web_address).",
    remedy:
      "Look at the machine's state (`fly machine list`), check the address, try another network, compare admission_key and this computer's clock.",
  },
  "FV-NET-003": {
    meaning:
      "The connection ended and could not be made again in the time allowed. What runs in the vault goes on.",
    remedy: "Come back with the same command, or for a command with `fly-vault attach NAME ID`.",
  },
  "FV-NET-004": {
    meaning: "The machine is there but has too much to do at the moment, or reached a limit.",
    remedy: "Try again in a few seconds; the cause names the limit.",
  },
  "FV-NET-005": {
    meaning: "Something answered, but the login was not finished in time or broke off.",
    remedy: "Try again. If it stays so, the machine's log says what it waits for.",
  },
  "FV-ATT-001": {
    meaning:
      "The machine's evidence is real, but made for another connection than this one: somebody may be in between and pass it on. Nothing derived from the token was sent.",
    remedy: "Do not go on over this network. Check `address`; tell whoever runs the machine.",
  },
  "FV-ATT-002": {
    meaning: "The evidence carries no valid signature of the issuer. It may be forged.",
    remedy: "Do not go on over this network. Check `org` and, if you set one, `issuer`.",
  },
  "FV-ATT-003": {
    meaning:
      "Fly vouches for the machine that answered, but it belongs to another organisation, app or machine than configured.",
    remedy: "Compare org, app and machine_id in the configuration with `fly machine list`.",
  },
  "FV-ATT-004": {
    meaning:
      "The first machine seen for this vault was remembered, and now another one answers. That is right after you replaced the machine, and wrong at any other time.",
    remedy:
      "If you replaced it, set machine_id to the new one, or remove the file that the message names.",
  },
  "FV-ATT-005": {
    meaning: "The issuer's public keys are needed to check the evidence and could not be had.",
    remedy: "Check that https to oidc.fly.io works from here; a proxy may stand in the way.",
  },
  "FV-ATT-006": {
    meaning: "The evidence cannot be read, or its times do not fit this computer's clock.",
    remedy: "Set the clock (`timedatectl`), then try again.",
  },
  "FV-ATT-007": {
    meaning:
      "The machine is the right one by Fly's word, but could not prove that it knows the access token.",
    remedy:
      "Compare the token here with the machine's ACCESS_TOKEN. If they are equal, somebody may be in between.",
  },
  "FV-ATT-008": {
    meaning: "The machine asks Fly for evidence at each login, and Fly did not give any.",
    remedy: "Try again in a minute; if it stays so, restart the machine and look at its log.",
  },
  "FV-ATT-009": {
    meaning: "The machine runs an image whose digest is not among those you allow.",
    remedy: "If you updated the image, put its new digest on the list.",
  },
  "FV-ATT-010": {
    meaning:
      "The vault has pin_image, and the machine runs another image than the one that was seen first. Nothing derived from the token was sent.",
    remedy:
      "Ask whoever runs the machine whether its image was updated. If it was, `fly-vault trust VAULT` shows both and remembers the new one.",
  },
  "FV-ATT-011": {
    meaning:
      "The machine is the right one, but its init is older than attest.min_init_version of the vault says.",
    remedy: "Have the machine updated, or lower min_init_version in the configuration.",
  },
  "FV-AUTH-001": {
    meaning: "The machine was attested, but it knows another access token than yours.",
    remedy: "Compare with the token it was created with. The machine allows one try a connection.",
  },
  "FV-VER-001": {
    meaning: "Client and machine are too far apart in age to understand each other.",
    remedy:
      "Update the older one: the client here, or the machine's image (`fly machine update ID --image IMAGE`).",
  },
  "FV-VM-001": {
    meaning: "The machine runs, but nothing was provisioned yet, so there is nothing to work in.",
    remedy:
      "`fly-vault provision NAME --from FILE`, or set rootfs or rootfs_url, then `fly-vault connect NAME`.",
  },
  "FV-VM-002": {
    meaning: "The machine is stopped or on its way down.",
    remedy: "`fly machine start ID`, then try again.",
  },
  "FV-VM-003": {
    meaning: "The machine tried what was asked and failed in a way it has no better word for.",
    remedy: "Its own words are in the cause; its log (`fly logs`) has more.",
  },
  "FV-VM-004": {
    meaning:
      "The machine was stopped, and its proxy asked Fly to start it. That failed, or took longer than a client waits.",
    remedy:
      "Try again in a minute. `fly machine status ID` says what Fly thinks of it, `fly logs` what it says itself.",
  },
  "FV-VM-005": {
    meaning:
      "The machine stops again and again, and its proxy has started it as often as it may in an hour, or in a day.",
    remedy:
      "Find out why it stops (`fly logs`). Started by hand (`fly machine start ID`) it can be used at once.",
  },
  "FV-VM-006": {
    meaning: "The proxy asked Fly for the machine that admission_key names, and there is none.",
    remedy:
      "If it was replaced, ask for the vault's new entry: machine_id, admission_key and perhaps the token.",
  },
  "FV-VM-007": {
    meaning:
      "The machine said that it would go down, and its link did not end in two minutes: a service that does not stop, or a machine that went without a word.",
    remedy:
      "`fly-vault status` says whether it is there. Fly stops it for good: `fly machine stop ID`.",
  },
  "FV-EXE-001": {
    meaning: "The link is fine, but the command could not be started: user, folder or a limit.",
    remedy: "Check --user and --workdir; the cause says which.",
  },
  "FV-EXE-002": {
    meaning: "The command was found but is not an executable file.",
    remedy: "chmod +x, or run it through its interpreter.",
  },
  "FV-EXE-003": {
    meaning: "There is no such command in the vault's PATH.",
    remedy: "Install it there, or give its full path. Shell syntax needs `sh -c '…'`.",
  },
  "FV-SES-001": {
    meaning: "No session has this id or name; finished ones are kept for a day.",
    remedy: "`fly-vault sessions NAME --all` lists those there are.",
  },
  "FV-SES-002": {
    meaning: "Another client attached to the same session, or one of that name exists.",
    remedy: "Connect again: it asks whether to take it back, to share it, or to start another one.",
  },
  "FV-SES-003": {
    meaning: "The session ended while nobody looked, or the machine was restarted.",
    remedy: "Start a new one; files under /root and /home are still there.",
  },
  "FV-SES-004": {
    meaning: "`wait --timeout` waited as long as it was told, and the session still runs.",
    remedy: "Wait again, look at it (`fly-vault logs -f`), or end it (`fly-vault kill`).",
  },
  "FV-SES-005": {
    meaning: "A signal was to be sent to a session whose program is not there any more.",
    remedy: "`fly-vault sessions NAME --all` says how it ended, `fly-vault logs` what it wrote.",
  },
  "FV-FWD-001": {
    meaning: "Another program on this computer listens on the port that was to be forwarded.",
    remedy: "Stop it (`ss -ltnp` shows it), or choose another local port: -L 3001:localhost:3000.",
  },
  "FV-FWD-002": {
    meaning: "The forward cannot be understood, or its local address is not ours to listen on.",
    remedy:
      "PORT, LOCAL:PORT, LOCAL:HOST:PORT or BIND:LOCAL:HOST:PORT; IPv6 in brackets. `fly-vault help forwards` has all forms.",
  },
  "FV-FWD-004": {
    meaning:
      "The port or path of a remote forward (-R) is taken in the vault, not one it may listen on, or not loopback without --gateway. A socket that is there is never replaced.",
    remedy:
      "Choose another one, -R 0:HOST:PORT for any free port; remove a left-over socket in the vault yourself.",
  },
  "FV-FWD-005": {
    meaning:
      "No process of yours on this computer forwards anything for that vault, or none of its forwards listens there, or more than one; or the process does not answer.",
    remedy: "See `fly-vault forward ls`; start some with `fly-vault forward VAULT 3000`.",
  },
  "FV-FWD-006": {
    meaning:
      "Another process answers at the path that was given for --control-socket, or something else is there.",
    remedy: "Choose another path. A socket that nobody answers at is replaced by itself.",
  },
  "FV-FWD-003": {
    meaning: "The connection came through, but nothing answered at its target inside the vault.",
    remedy: "Start the server there, and see that it listens on the port (`ss -ltn` in the vault).",
  },
  "FV-CP-001": {
    meaning:
      "The copy went through to its end, but not everything could be copied. The first reasons are named; --json names all.",
    remedy:
      "Do away with the reasons and run the same command again: what is there already costs next to nothing.",
  },
  "FV-CP-002": {
    meaning: "A source, or the folder that the destination is to be in, is not there.",
    remedy:
      "Check the path. In a vault a path begins at the home folder of --user unless it begins with a slash; folders above the destination are not made.",
  },
  "FV-CP-003": {
    meaning:
      "The user that the copy works as may not read the source or write the destination, or the file system is read-only.",
    remedy:
      "Look at owner and mode of the file and of its folder. In the vault --user says whose rights count.",
  },
  "FV-CP-004": {
    meaning:
      "What is to be copied and what is there are of different kinds: a folder without -r, a file where a folder should go, or the other way round.",
    remedy:
      "Copy folders with -r, or move what is in the way. Nothing of another kind is ever replaced.",
  },
  "FV-CP-005": {
    meaning: "Pipes, sockets and devices have no content that could be copied.",
    remedy: "Leave them out with --exclude.",
  },
  "FV-CP-006": {
    meaning:
      "Somebody wrote to the file while it was read, or to the one that it was to replace. What was there before is untouched.",
    remedy: "Run it again when the file is at rest.",
  },
  "FV-CP-007": {
    meaning:
      "The disk of the receiving side is full, or a quota is used up. What had arrived of the file was removed again, and what was there before is untouched.",
    remedy: "Make room and run the same command again.",
  },
  "FV-CP-008": {
    meaning: "Another copy is putting the same file together.",
    remedy: "Wait for it, or stop it, and run the command again.",
  },
  "FV-CP-009": {
    meaning: "The operating system of one side refused a step; the cause has its word for it.",
    remedy: "The cause names path and error. Run it again once the cause is gone.",
  },
  "FV-PROV-001": {
    meaning:
      "The rootfs file is missing, empty, unreadable or no file, or was written to while it was sent.",
    remedy:
      "Check the path (in the configuration it starts at its folder), or make one: `fly-vault build`.",
  },
  "FV-PROV-002": {
    meaning:
      "The archive is no tar file (plain, gzip or zstd), or holds something that is never unpacked: paths outside, devices, too much.",
    remedy: "The entry is named in the cause; leave it out. The old root filesystem is untouched.",
  },
  "FV-PROV-003": {
    meaning: "The archive ends early, or is damaged inside.",
    remedy: "Check it with `tar tf FILE`. The old root filesystem is untouched.",
  },
  "FV-PROV-004": {
    meaning: "The volume has no room for the new root filesystem beside the old one.",
    remedy: "`fly volumes extend`, or a smaller archive. The old root filesystem is untouched.",
  },
  "FV-PROV-005": {
    meaning:
      "The archive, as it is here or as it arrived, has another SHA-256 than the one it was to have.",
    remedy: "Compare with `sha256sum FILE`. The old root filesystem is untouched.",
  },
  "FV-PROV-006": {
    meaning: "The machine itself fetches the archive from a URL, and could not.",
    remedy: "Check the address; it must be reachable from the machine, not only from here.",
  },
  "FV-PROV-007": {
    meaning: "The archive was unpacked, but the system in it did not start.",
    remedy: "It needs /sbin/init or a shell, for the machine's processor. The one before is kept.",
  },
  "FV-PROV-008": {
    meaning:
      "Somebody stopped the work before it was done, took its place, or the client was away for too long.",
    remedy: "Nothing was changed. Start it again.",
  },
  "FV-PROV-009": {
    meaning:
      "Only the root filesystem before the last provisioning is kept, and only while the volume has room for both.",
    remedy: "Provision again: `fly-vault provision NAME --from FILE`.",
  },
  "FV-PROV-010": {
    meaning: "A Containerfile is built by buildah, podman or docker, and none of them is there.",
    remedy:
      "Install one (`apt install buildah` needs no daemon), or pack a folder: `fly-vault build --from dir:PATH`.",
  },
  "FV-PROV-011": {
    meaning: "The program that builds the image, or reads it, ended with an error.",
    remedy:
      "Its own words stand above ours, with -q the last of them in the cause. Run it by itself until it works; nothing was written.",
  },
  ...adminExplanations,
  ...updateExplanations,
  "FV-SYS-001": {
    meaning: "The operating system refused a call that the program cannot do without.",
    remedy: "The cause names call and reason: mostly a right, a limit or a full disk.",
  },
  "FV-SYS-002": {
    meaning:
      "-A lets programs in the vault use the keys of your ssh-agent, which is found by SSH_AUTH_SOCK. That variable is not set where this command ran.",
    remedy:
      "Start an agent and add a key (eval $(ssh-agent) && ssh-add), or leave -A out. Under sudo or in a service the variable is often lost: pass it on.",
  },
  "FV-SYS-003": {
    meaning: "A command starts another program of this computer, and it is not in PATH.",
    remedy:
      "Install it, or put its folder into PATH. Editors have a command of their own for that; with --print `fly-vault open` shows what it would run.",
  },
  "FV-INT-001": {
    meaning: "The program met a case its authors did not think of.",
    remedy:
      "Please report it with the command, the output of --debug, and --version of both sides.",
  },
};
