//! Items 1 to 24 and rules E and F: the opening handshake.
