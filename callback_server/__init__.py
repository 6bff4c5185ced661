"""Process 2: the pages that a person sees, and the exchange of the code into a credential Secret."""
