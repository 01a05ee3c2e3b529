"""One short module for each verb: options in, core call, result out."""
