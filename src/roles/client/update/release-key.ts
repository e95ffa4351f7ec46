/**
 * Whose signature a release must bear: lines as in an OpenSSH public key file, any of them. This is the
 * one of a program that was not released; a build with a key puts its own in place of this file.
 */
export const builtInReleaseKeys: string = "";
