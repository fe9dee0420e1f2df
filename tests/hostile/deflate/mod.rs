//! Items 56 to 75 and rule C: permessage-deflate. The other tests of these items are beside this one, in the files
//! that begin with `deflate_`.

mod bombs;
mod negotiation;
#[path = "../../common/deflate.rs"]
mod peers;
mod rules;
mod sending;
