/**
 * Branded types: at run time a plain string, at compile time one that only its own parser or builder
 * hands out, so that an installation id cannot go where a message id belongs.
 */

declare const brand: unique symbol

/** `Base` with a name that no other type shares. */
export type Brand<Base, Name extends string> = Base & { readonly [brand]: Name }
