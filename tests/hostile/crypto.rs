//! Items 90 to 93: keys, secrets and what is written about a peer.
