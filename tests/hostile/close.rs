//! Items 51 to 55 and rule H: closing.
