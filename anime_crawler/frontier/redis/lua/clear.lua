-- ARGV: worker. Forgets all requests.
forget()
