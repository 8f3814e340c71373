-- A customer's time zone: its days count where what it pays for ends early. Without one, the company's do.

ALTER TABLE customers ADD COLUMN timezone varchar(60);
