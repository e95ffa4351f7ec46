/** Of the codes that `fly-vault-admin` and `vault-proxy` end with. */
export const adminExplanations = {
  "FV-API-001": {
    meaning: "The Machines API did not answer.",
    remedy: "Check the network and --api-base.",
  },
  "FV-API-002": {
    meaning: "The Machines API does not accept the token for this organisation or app.",
    remedy: "Make a new one (`fly tokens create deploy`), set FLY_API_TOKEN.",
  },
  "FV-API-003": {
    meaning: "The Machines API understood the request and refused it; its words are in the cause.",
    remedy: "Mostly a value in the template: region, size, image or volume.",
  },
  "FV-API-004": {
    meaning: "The Machines API took the request, but the machine did not get there in time.",
    remedy: "Look at the machine's state and events, then run the command again.",
  },
  "FV-API-005": {
    meaning: "Somebody else holds a lease on the machine, or changed it meanwhile.",
    remedy: "Wait a minute, then run the command again.",
  },
  "FV-ADM-001": {
    meaning: "The tenant template has a mistake; its line and key are named.",
    remedy: "Correct it. Nothing was created.",
  },
  "FV-ADM-002": {
    meaning: "There is no tenant of that name in this app.",
    remedy: "`fly-vault-admin tenant list` lists those there are.",
  },
  "FV-ADM-003": {
    meaning:
      "A tenant of that name has machines already, or was begun with another template or token.",
    remedy: "Choose another name, change it with `tenant apply`, or delete it first.",
  },
  "FV-ADM-004": {
    meaning: "Some of the machines or volumes were done, others failed; each is listed.",
    remedy: "Run the command again: what is done is not done twice.",
  },
  "FV-ADM-005": {
    meaning: "The command destroys something and nobody confirmed it.",
    remedy: "Say --yes when you mean it.",
  },
  "FV-ADM-006": {
    meaning:
      "`new` replaces no key file, `rotate` needs one with one master, `retire` one with two.",
    remedy:
      "`fly-vault-admin proxy-key show --key-file FILE` tells what is in it. Nothing was changed.",
  },
  "FV-ADM-010": {
    meaning:
      "Fly started the machine, and its first process ended soon after; how it ended is in the cause.",
    remedy: "Look at the image, at `init` and at the environment in the template.",
  },
  "FV-ADM-011": {
    meaning:
      "Name, region and volume of a machine are fixed when it is made; the template wants others. Nothing was changed.",
    remedy: "Put the old values back into the template, or make the tenant anew.",
  },
  "FV-ADM-012": {
    meaning:
      "The template wants a volume made, and one of that name is there that no machine uses. A run that was killed elsewhere may have made it; or it holds data of somebody.",
    remedy: "Remove it, mount it by its id, or say --new-volumes to leave it alone.",
  },
  "FV-ADM-013": {
    meaning:
      "All machines of a tenant have one access token, unless a rotation broke off. A machine can write " +
      "its own metadata, and so claim a tenant that it does not belong to: then it would get the token.",
    remedy:
      "`fly-vault-admin tenant list --wide` shows the machines. Destroy the one that is not the tenant's, " +
      "or set its fly_vault.tenant_id right. If all are: `tenant apply --access-token-file` gives them one.",
  },
  "FV-ADM-020": {
    meaning:
      "A rollout may have leases and cordons on machines, which the next one would trip over; only one of an app is at work at a time, and none goes on that a newer one has overtaken.",
    remedy: "Resume the one that is named, wait for the one that runs, or begin another.",
  },
  "FV-ADM-021": {
    meaning:
      "All machines of a rollout get one digest, so a tag is looked up in its registry before anything is changed; the registry did not tell it.",
    remedy: "Pass the image with its digest: --image NAME@sha256:….",
  },
  "FV-PRX-001": {
    meaning:
      "The proxy knows the clients of your machines by a key of its own, from which every machine's admission key is made. It was not given, is given twice, or is mistyped.",
    remedy:
      "`fly-vault-admin proxy-key new --key-file FILE` makes a key file. Give its content in FLY_VAULT_PROXY_KEY, or name with --key-file a copy that only its owner can write.",
  },
} as const;
