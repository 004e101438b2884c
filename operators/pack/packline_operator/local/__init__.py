"""The platform of one machine: Ray, the services and the loop, from files below one folder."""
