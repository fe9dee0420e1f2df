//! Items 76 to 89 and rule D: resources, the application, concurrency.
